package prom

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

var (
	inTemplate = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	inPrintf   = regexp.MustCompile(`printf "([^"]*)"`)
	anyMetric  = regexp.MustCompile(`everhop_[a-z_]+`)
)

func TestAlerts(t *testing.T) {
	file, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(file))
	decoder.KnownFields(true)
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	k, seen := knownMetrics(t), make(map[string]bool)
	for _, r := range doc.Groups[0].Rules {
		if !strings.HasPrefix(r.Alert, "Everhop") || seen[r.Alert] {
			t.Errorf("%q: is there twice, or has no prefix", r.Alert)
		}
		seen[r.Alert] = true
		r.check(t, k)
	}
	if len(seen) < 15 {
		t.Errorf("%d alerts", len(seen))
	}
}

func (r rule) check(t *testing.T, k known) {
	if err := k.check(r.Expr); err != nil {
		t.Errorf("%s: %v", r.Alert, err)
	}
	if r.For != "" {
		if _, err := time.ParseDuration(r.For); err != nil {
			t.Errorf("%s: for: %v", r.Alert, err)
		}
	}
	if s := r.Labels["severity"]; s != "critical" && s != "warning" || len(r.Labels) != 1 {
		t.Errorf("%s: labels %v", r.Alert, r.Labels)
	}
	if len(r.Annotations) != 2 || len(r.Annotations["summary"]) < 20 || len(r.Annotations["description"]) < 80 {
		t.Errorf("%s: it wants a summary, and a description that says what to do: %v", r.Alert, r.Annotations)
	}
	for _, text := range r.Annotations {
		for _, label := range inTemplate.FindAllStringSubmatch(text, -1) {
			if has := k.labelsOf(token.FindAllString(r.Expr, -1)); !slices.Contains(append(has, targetLabels...), label[1]) {
				t.Errorf("%s: there is no label %s: %s", r.Alert, label[1], text)
			}
		}
		for _, query := range inPrintf.FindAllStringSubmatch(text, -1) {
			if err := k.check(query[1]); err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
		}
		for _, name := range anyMetric.FindAllString(text, -1) {
			if _, ok := k[name]; !ok {
				t.Errorf("%s: there is no metric %s: %s", r.Alert, name, text)
			}
		}
	}
}

func TestDashboard(t *testing.T) {
	file, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	type source struct{ Type, UID string }
	var doc struct {
		UID        string
		Templating struct {
			List []struct {
				Name, Type, Definition string
				Query                  any
			}
		}
		Annotations struct{ List []struct{ Expr string } }
		Panels      []struct {
			ID          int
			Type, Title string
			Description string
			Datasource  source
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct {
				Expr       string
				Datasource source
			}
		}
	}
	if err := json.Unmarshal(file, &doc); err != nil {
		t.Fatal(err)
	}
	k, exprs, ids := knownMetrics(t), []string{}, make(map[int]bool)
	for _, p := range doc.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: its id is another's, or it is too wide", p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource.UID != "${datasource}") {
			t.Errorf("panel %q: no targets, or not from ${datasource}", p.Title)
		}
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q: a target is from %q", p.Title, target.Datasource.UID)
			}
		}
	}
	for _, a := range doc.Annotations.List {
		exprs = append(exprs, a.Expr)
	}
	variables := make(map[string]bool)
	for _, v := range doc.Templating.List {
		variables["$"+v.Name] = true
		if v.Type == "query" {
			exprs = append(exprs, v.Definition)
		}
	}
	if !variables["$datasource"] {
		t.Error("the data source cannot be chosen")
	}
	for _, expr := range exprs {
		if err := k.check(expr); err != nil {
			t.Error(err)
		}
		for _, v := range regexp.MustCompile(`\$[a-z_]+`).FindAllString(expr, -1) {
			if !variables[v] && v != "$__rate_interval" {
				t.Errorf("there is no variable %s: %s", v, expr)
			}
		}
	}
}
