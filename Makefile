# A pipe fails if what is in front of it does.
SHELL := bash
.SHELLFLAGS := -o pipefail -c

GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   = go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: ## See a consumer survive four faults; needs nothing but Go
	go run ./cmd/everhop demo

.PHONY: try
try: prepare bin/everhop ## Send three messages through a private RabbitMQ and consume them
	@PATH="$(CURDIR)/bin:$$PATH" go run ./broker/rabbittest/rabbitnode sh -c '\
		(until printf "one\ntwo\nthree\n" | everhop publish --queue hello; do sleep 0.1; done) 2>/dev/null & \
		everhop consume --declare --queue hello --count 3 --log-format console || kill $$!'

.PHONY: quick
quick: ## Run go vet and the tests that need neither RabbitMQ nor patience
	go vet ./...
	go test -short -p 6 ./... # several packages at once, since most of them wait for something

# The version of RabbitMQ that tests run on: 3.10, 4.0 or 4.3. Defaults to the system's.
RABBITMQ =
export EVERHOP_TEST_RABBITMQ := $(RABBITMQ)

.PHONY: test
test: tests proofs ## Run all tests with the race detector, on a private RabbitMQ and some on 4.0; with RABBITMQ=4.3 all on that
ifeq ($(RABBITMQ),)
	@.ci/suites 4.0
endif

.PHONY: test-all
test-all: proofs ## Run all tests against RabbitMQ 3.10, 4.0 and 4.3
	@for version in 3.10 4.0 4.3; do $(MAKE) --no-print-directory tests RABBITMQ=$$version || exit; done

.PHONY: tests
tests:
	@.ci/prepare $(RABBITMQ)
	EVERHOP_TEST_REQUIRE=1 .ci/race -parallel 8 -timeout 30m ./...

.PHONY: proofs
proofs: prove
	go test -run 'TestDeliveries|TestTracker|TestFaultMatrix' ./consumer/... # 180,000 histories and the whole matrix; with the race detector, a part

.PHONY: check
check: ## Check formatting, go vet for each system, the linters, import rules, go.mod, subjects
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w:"; gofmt -l .; exit 1; }
	go vet ./...
	@for os in darwin windows freebsd; do \
		echo "GOOS=$$os go vet ./..."; \
		CGO_ENABLED=0 GOOS=$$os go vet -gcflags='all=-N -l' ./... || exit; done # not optimized, as nobody runs it: a quarter faster
	go mod tidy -diff
	$(GOLANGCI_LINT) run
	@.ci/subjects

.PHONY: vulns
vulns: ## Look for known vulnerabilities in what is used
	$(GOVULNCHECK) ./...

.PHONY: matrix
matrix: ## Play every fault at every place, in synthetic time, and say how many
	@go test -count=1 -v -run '^TestFaultMatrix$$' ./consumer | grep -v -e '^=== ' -e '--- PASS'

.PHONY: prove
prove: ## Cut, change, swap and kill a journal in every way, read a gigabyte, and print the numbers
	@FSM_TEST_GIGABYTE=1 go test -count=1 -v -run '^(TestTruncation|TestEvery|TestKill|TestReadAGigabyte)' ./fsm/journal | grep --line-buffered -v '^=== '

.PHONY: recovery
recovery: prepare ## Measure the recovery times in the README (about 10 minutes)
	go test -run '^$$' -bench Recovery -benchtime 5x -timeout 30m ./consumer

.PHONY: bench
bench: prepare ## Measure throughput, overhead, latency, publishing, 1000 subscriptions, the engine and its readers (about 20 minutes)
	go test -run '^$$' -bench 'Throughput|Mixes|Overhead|Latency|ThousandSubscriptions' -benchtime 1x -timeout 60m ./consumer
	go test -run '^$$' -bench 'Status|Timing' -benchmem ./consumer ./consumer/internal/measure
	go test -run '^$$' -bench Scrape ./consumer/prom
	go test -run '^$$' -bench Publish -benchtime 1x -timeout 60m ./consumer/publish
	go test -run '^$$' -bench 'ConsumeOutput|ConsumeExec|Windows' -benchtime 1x -timeout 30m ./cmd/everhop
	go test -run '^$$' -bench . -benchmem ./fsm ./fsm/journal ./consumer/history
	go test -run '^$$' -bench Demux ./broker

.PHONY: clusters
clusters: ## Break the nodes of a cluster under a consumer, and print the longest gaps (about 5 minutes)
	@.ci/prepare $(RABBITMQ)
	@EVERHOP_TEST_REQUIRE=1 EVERHOP_TEST_CLUSTERS=1 go test -count=1 -v -timeout 30m -run '^(TestCluster|TestQueueSuspended)$$' ./consumer | grep --line-buffered -v '^=== '

.PHONY: suites-amqp091
suites-amqp091: ## Run amqp091-go's own integration suite against brokertest (about 2 minutes; needs port 15672)
	@.ci/clients amqp091

.PHONY: suites-watermill
suites-watermill: ## Run watermill-amqp's own suite against brokertest (about 1 minute; needs the network)
	@.ci/clients watermill

MINUTES = 60
SEED    =

.PHONY: soak
soak: ## Break nodes, consumers and networks at random for MINUTES=60, and count what was lost; SEED= plays the faults again
	@.ci/prepare $(RABBITMQ)
	@EVERHOP_SOAK_MINUTES=$(MINUTES) EVERHOP_SOAK_SEED=$(SEED) go test -count=1 -v -timeout 0 -run '^TestSoak$$' ./consumer | grep --line-buffered -v '^=== '

ROUNDS = 10

.PHONY: publish-on
publish-on: ## Publish on through ROUNDS=10 of 20 cuts and a kill, and an alarm (about 4 minutes)
	@.ci/prepare $(RABBITMQ)
	@EVERHOP_TEST_REQUIRE=1 EVERHOP_TEST_ROUNDS=$(ROUNDS) go test -count=1 -v -timeout 60m -run '^TestPublishOn' ./consumer | grep --line-buffered -v '^=== '

.PHONY: large
large: ## Publish 100 MB over 1 MB/s, with the library and with the program (about 4 minutes)
	@.ci/prepare $(RABBITMQ)
	@EVERHOP_TEST_REQUIRE=1 EVERHOP_TEST_LARGE=1 go test -count=1 -p 1 -v -timeout 30m -run '^(TestRabbitMQLargeMessage|TestPublishLargeFile)$$' ./consumer/publish ./cmd/everhop | grep --line-buffered -v '^=== '

.PHONY: golden
golden: ## Write the golden files anew
	@grep -rl --include='*_test.go' '"gotest.tools/v3/golden"' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		go test -short $$dir -update || exit; done

FUZZTIME = 1m

.PHONY: fuzz
fuzz: ## Fuzz all that reads bytes from outside, FUZZTIME=1m each
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z]*' . | sed 's|/[^/]*:func | |' | while read -r dir name; do \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$dir || exit; done

.PHONY: prepare
prepare:
	@.ci/prepare

.PHONY: bin/everhop
bin/everhop:
	go build -o bin/everhop ./cmd/everhop
