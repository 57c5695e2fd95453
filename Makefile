# A pipe fails if what is in front of it does.
SHELL := bash
.SHELLFLAGS := -o pipefail -c

GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

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

.PHONY: test
test: prepare ## Run all tests with the race detector, against a private RabbitMQ
	EVERHOP_TEST_REQUIRE=1 go test -race -parallel 8 -timeout 8m ./...
	@$(MAKE) --no-print-directory prove
	go test -run 'TestDeliveries|TestTracker' ./consumer ./consumer/internal/ack # 180,000 histories; with the race detector, a tenth

.PHONY: prove
prove: ## Cut, change, swap and kill a journal in every way, read a gigabyte, and print the numbers
	@FSM_TEST_GIGABYTE=1 go test -count=1 -v -run '^(TestTruncation|TestEvery|TestKill|TestReadAGigabyte)' ./fsm/journal | grep -v '^=== '

.PHONY: matrix
matrix: ## Play every fault at every place, in synthetic time, and say how many
	@go test -count=1 -v -run '^TestFaultMatrix$$' ./consumer | grep -v -e '^=== ' -e '--- PASS'

.PHONY: check
check: ## Check formatting, go vet, the linters and the import rules, go.mod
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w:"; gofmt -l .; exit 1; }
	go vet ./...
	go mod tidy -diff
	$(GOLANGCI_LINT) run

.PHONY: recovery
recovery: prepare ## Measure the recovery times in the README (about 10 minutes)
	go test -run '^$$' -bench Recovery -benchtime 5x -timeout 30m ./consumer

.PHONY: bench
bench: prepare ## Measure throughput, overhead, 1000 subscriptions and the engine (about 15 minutes)
	go test -run '^$$' -bench 'Throughput|Overhead|ThousandSubscriptions' -benchtime 1x -timeout 60m ./consumer
	go test -run '^$$' -bench ConsumeOutput -benchtime 1x -timeout 30m ./cmd/everhop
	go test -run '^$$' -bench . -benchmem ./fsm ./fsm/journal

.PHONY: golden
golden: ## Write the golden files anew
	go test ./fsm -run Golden -update
	go test ./consumer -run Lifecycle -update
	go test ./consumer/history -run Timeline -update
	go test ./cmd/everhop -run Help -update
	go test ./cmd/everhop/internal/past -run Replay -update
	go test ./cmd/everhop/internal/demo -run View -update

.PHONY: fuzz
fuzz: ## Fuzz what reads journals, logs and deliveries, two minutes each
	go test -run '^$$' -fuzz FuzzDifferential -fuzztime 2m ./broker
	go test -run '^$$' -fuzz FuzzReader -fuzztime 2m ./fsm/journal
	go test -run '^$$' -fuzz FuzzEvent -fuzztime 2m ./fsm/journal
	go test -run '^$$' -fuzz FuzzParseLog -fuzztime 2m ./consumer/history

.PHONY: prepare
prepare:
	@.ci/prepare

.PHONY: bin/everhop
bin/everhop:
	go build -o bin/everhop ./cmd/everhop
