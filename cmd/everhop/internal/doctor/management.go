package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// plugin is the HTTP API of the management plugin.
type plugin struct {
	base     *url.URL
	user     string
	password string
	client   *http.Client
	now      func() time.Time
	skew     *time.Duration
}

// ParseManagement reads the URL of the HTTP API. The error repeats nothing of it: there may be a password in it.
func ParseManagement(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("expected http[s]://[user:password@]host[:port]; reserved characters in user and password must be percent-encoded")
	}
	return u, nil
}

// management looks at what only the management plugin knows.
func (c *clinic) management(ctx context.Context) {
	u, err := ParseManagement(c.Management)
	if err != nil {
		c.broken("management", "", err.Error(), "correct --management")
		return
	}
	p := &plugin{base: u, user: "guest", password: "guest", client: &http.Client{Timeout: c.Step}, now: time.Now}
	defer p.client.CloseIdleConnections()
	if u.User != nil {
		p.user = u.User.Username()
		p.password, _ = u.User.Password()
	}
	var overview struct {
		Version string `json:"rabbitmq_version"`
		Cluster string `json:"cluster_name"`
	}
	if err := p.get(ctx, &overview, "overview"); err != nil {
		c.noManagement(u, err)
		return
	}
	c.skew = p.skew
	c.ok("management", u.Host, "RabbitMQ %s%s", overview.Version, named(overview.Cluster))
	c.nodes(ctx, p)
	vhost, user := "/", ""
	if len(c.Endpoints) > 0 {
		vhost, user = c.Endpoints[0].VHost(), c.Endpoints[0].User()
	}
	c.limits(ctx, p, "user_limits", user, "set_user_limits", "user-limits", user)
	c.limits(ctx, p, "vhost_limits", vhost, "set_vhost_limits", "vhost-limits", vhost)
	if c.Queue != "" {
		c.managed(ctx, p, vhost)
	}
}

func (c *clinic) noManagement(u *url.URL, err error) {
	var status statusError
	switch {
	case errors.As(err, &status) && int(status) == http.StatusUnauthorized:
		c.broken("management", u.Host, "the user is not let in (401), or has none of the tags management, monitoring, administrator",
			"put user and password into the URL, and give the user a tag: rabbitmqctl set_user_tags USER monitoring")
	case errors.As(err, &status):
		c.broken("management", u.Host, fmt.Sprintf("it answers %v", status), "check that this is RabbitMQ's HTTP API, usually on port 15672")
	case errors.As(err, new(*json.SyntaxError)):
		c.broken("management", u.Host, "what answers is not RabbitMQ's HTTP API", "correct the URL: its port is usually 15672")
	default:
		c.broken("management", u.Host, fmt.Sprintf("no answer: %v", reason(err)), "check host and port, usually 15672, and that the plugin is on: rabbitmq-plugins enable rabbitmq_management")
	}
}

// statusError is an answer other than 200.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("%d %s", int(s), http.StatusText(int(s))) }

// get asks for one document. Each part of its path is escaped.
func (p *plugin) get(ctx context.Context, into any, path ...string) error {
	u := *p.base
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	where := strings.TrimRight(u.String(), "/") + "/api"
	for _, part := range path {
		where += "/" + url.PathEscape(part)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(p.user, p.password)
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if at, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		skew := p.now().Sub(at)
		p.skew = &skew
	}
	if response.StatusCode != http.StatusOK {
		return statusError(response.StatusCode)
	}
	const most = 16 << 20
	return decode(io.LimitReader(response.Body, most), into)
}

// decode keeps numbers as they were written.
func decode(text io.Reader, into any) error {
	decoder := json.NewDecoder(text)
	decoder.UseNumber()
	return decoder.Decode(into)
}

// unasked says why something of the management is not known; it is no fault of the broker.
func (c *clinic) unasked(check, of string, err error) {
	var status statusError
	if errors.As(err, &status) && (int(status) == http.StatusUnauthorized || int(status) == http.StatusForbidden) {
		c.skip(check, of, "the user of --management may not ask (it takes the tag monitoring or administrator)")
		return
	}
	c.warn(check, of, fmt.Sprintf("not known: %v", reason(err)), "try again, or look at the management plugin's log")
}

func (c *clinic) nodes(ctx context.Context, p *plugin) {
	var nodes []struct {
		Name       string   `json:"name"`
		Running    bool     `json:"running"`
		Memory     bool     `json:"mem_alarm"`
		Disk       bool     `json:"disk_free_alarm"`
		Partitions []string `json:"partitions"`
		FDUsed     int      `json:"fd_used"`
		FDTotal    int      `json:"fd_total"`
	}
	if err := p.get(ctx, &nodes, "nodes"); err != nil {
		c.unasked("cluster", "", err)
		return
	}
	var names []string
	good := true
	bad := func(node, text, advice string) {
		good = false
		c.broken("cluster", node, text, advice)
	}
	for _, n := range nodes {
		names = append(names, n.Name)
		if !n.Running {
			bad(n.Name, "the node is down", "start it, and look at its log; if it is gone for good: rabbitmqctl forget_cluster_node "+n.Name)
		}
		if n.Memory {
			bad(n.Name, "memory alarm: nothing can be published at any node", alarmAdvice("memory"))
		}
		if n.Disk {
			bad(n.Name, "disk alarm: nothing can be published at any node", alarmAdvice("disk"))
		}
		if len(n.Partitions) > 0 {
			bad(n.Name, "a partition: it does not see "+strings.Join(n.Partitions, ", "), "repair the network between the nodes, then restart those of the smaller side; see cluster_partition_handling")
		}
		if n.FDTotal > 0 && n.FDUsed > n.FDTotal*9/10 {
			good = false
			c.warn("cluster", n.Name, fmt.Sprintf("%d of %d open files are used", n.FDUsed, n.FDTotal), "raise the broker's limit of open files (LimitNOFILE)")
		}
	}
	if good {
		c.ok("cluster", "", "%s: up, no alarms, no partitions", strings.Join(names, ", "))
	}
}

// limits are those of the user or of the virtual host.
func (c *clinic) limits(ctx context.Context, p *plugin, check, of, command string, path ...string) {
	if of == "" {
		return
	}
	var found []struct {
		Value map[string]int `json:"value"`
	}
	err := p.get(ctx, &found, path...)
	var status statusError
	if errors.As(err, &status) && int(status) == http.StatusNotFound {
		err = nil
	}
	if err != nil {
		c.unasked(check, of, err)
		return
	}
	const tight = 2 // a consumer has two connections
	var words []string
	low := false
	for _, one := range found {
		for name, n := range one.Value {
			words = append(words, fmt.Sprintf("%s %d", name, n))
			low = low || n >= 0 && n < tight
		}
	}
	sort.Strings(words)
	switch {
	case len(words) == 0:
		c.ok(check, of, "none")
	case low:
		c.warn(check, of, strings.Join(words, ", "), "a consumer takes two connections, and a channel for each subscription: rabbitmqctl "+command)
	default:
		c.ok(check, of, "%s", strings.Join(words, ", "))
	}
}

// managed is the queue as the management plugin sees it.
func (c *clinic) managed(ctx context.Context, p *plugin, vhost string) {
	var q struct {
		Type      string          `json:"type"`
		State     string          `json:"state"`
		Durable   bool            `json:"durable"`
		Node      string          `json:"node"`
		Leader    string          `json:"leader"`
		Members   []string        `json:"members"`
		Online    []string        `json:"online"`
		Policy    string          `json:"policy"`
		Operator  string          `json:"operator_policy"`
		Arguments map[string]any  `json:"arguments"`
		Effective json.RawMessage `json:"effective_policy_definition"`
	}
	err := p.get(ctx, &q, "queues", vhost, c.Queue)
	var status statusError
	if errors.As(err, &status) && int(status) == http.StatusNotFound {
		c.skip("policy", c.Queue, "there is no such queue")
		return
	}
	if err != nil {
		c.unasked("policy", c.Queue, err)
		return
	}
	leader := q.Leader
	if leader == "" {
		leader = q.Node
	}
	switch {
	case q.State != "" && q.State != "running" && q.State != "idle" && q.State != "flow":
		c.broken("leader", c.Queue, fmt.Sprintf("its state is %s, its leader %s", q.State, leader), "start the nodes that are down: rabbitmq-queues quorum_status "+c.Queue)
	case len(q.Online) < len(q.Members):
		c.warn("leader", c.Queue, fmt.Sprintf("%s leads; of its members %s only %s are up", leader, strings.Join(q.Members, ", "), strings.Join(q.Online, ", ")),
			"start the nodes that are down, before one more is: without a majority the queue stops")
	default:
		c.ok("leader", c.Queue, "%s%s", leader, membersOf(q.Members))
	}
	effective := map[string]any{} // [] if there is none
	_ = decode(bytes.NewReader(q.Effective), &effective)
	if q.Policy == "" && q.Operator == "" {
		c.ok("policy", c.Queue, "none applies")
	} else {
		c.ok("policy", c.Queue, "%s: %s", strings.Trim(q.Policy+" "+q.Operator, " "), inline(effective))
	}
	c.known = &declared{q.Type, q.Durable, q.Arguments, effective}
}

func membersOf(members []string) string {
	if len(members) < 2 {
		return ""
	}
	return " leads " + strings.Join(members, ", ")
}

func inline(definition map[string]any) string {
	text, err := json.Marshal(definition)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// clock compares this machine's clock with the broker's.
func (c *clinic) clock() {
	const most, second = 5 * time.Second, time.Second // the header Date has whole seconds
	switch {
	case c.skew == nil && c.Management == "":
		c.skip("clock", "", "AMQP does not tell the broker's time; with --management it is known")
	case c.skew == nil:
		c.skip("clock", "", "the management plugin did not tell the time")
	case c.skew.Abs() > most:
		direction := "ahead of"
		if *c.skew < 0 {
			direction = "behind"
		}
		c.warn("clock", "", fmt.Sprintf("this machine's clock is %v %s the broker's", c.skew.Abs().Round(second), direction), "have both kept by NTP: certificates, tokens and timestamps go by them")
	default:
		c.ok("clock", "", "as the broker's, to within %v", most)
	}
}
