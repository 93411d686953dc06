package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
)

func TestFileThenEnvironmentThenFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, config.FileName)
	if err := os.WriteFile(file, []byte("listen: :1\nmetrics: 127.0.0.1:2\ntrusted_proxies: [10.0.0.0/8, 192.0.2.1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load("", []string{"SEALPOST_DATA=" + dir, "SEALPOST_METRICS=off", "SEALPOST_DATABASE=postgres://u:canary@h/d", "HOME=/x"}, config.Overrides{Listen: ":3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":3" || c.MetricsListen != "" || len(c.TrustedProxies) != 2 || c.CaptureListen != "127.0.0.1:7225" || c.RootKey != filepath.Join(dir, "root.key") {
		t.Errorf("got %+v", c)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", c, c), "canary") {
		t.Error("the database's password is printed")
	}
}

func TestDefaultsNeedNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := config.Load("", nil, config.Overrides{})
	if err != nil || c.DataDir != "./data" || c.Listen != ":7272" || !c.Database.IsZero() || len(c.DenyMailTo) != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	for _, tt := range []struct{ file, env, want string }{
		{file: "lisen: :1", want: "line 1"},
		{file: "listen: [a]", want: "another type"},
		{file: "a: b: c", want: "line 1"},
		{file: "listen: nonsense", want: "port"},
		{file: "capture: 0.0.0.0:7225", want: "this machine"},
		{file: "database: mysql://x", want: "postgres://"},
		{file: "tls_cert: x", want: "together"},
		{file: "log_level: loud", want: "debug"},
		{file: "trusted_proxies: [everybody]", want: "network"},
		{env: "SEALPOST_LISTNE=:1", want: "SEALPOST_LISTNE"},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(file, []string{tt.env}, config.Overrides{})
		text := fault.Sentence(err)
		for _, f := range fault.Fields(err) {
			text += f.Sentence
		}
		if err == nil || !strings.Contains(text, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := config.Load("/nowhere/x.yaml", nil, config.Overrides{}); err == nil {
		t.Error("a file that was asked for and is missing was ignored")
	}
}
