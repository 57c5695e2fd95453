package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// properties is how the connection introduces itself to the broker.
func (p *Plan) properties() amqp.Table {
	t := amqp.Table{
		"product":  "Everhop",
		"version":  Version(),
		"platform": "Go",
		"process":  fmt.Sprintf("%s (pid %d)", strings.ToValidUTF8(filepath.Base(os.Args[0]), "?"), os.Getpid()),
	}
	if p.Name != "" {
		t["connection_name"] = p.Name
	}
	return t
}

// Version is the version of the module as it was built in, "devel" where that is not known.
func Version() string {
	const module = "github.com/everhop/everhop"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	version := ""
	if info.Main.Path == module {
		version = info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == module {
			version = m.Version
		}
	}
	if version == "" || version == "(devel)" {
		return "devel"
	}
	return version
}
