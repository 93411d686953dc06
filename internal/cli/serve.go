package cli

import (
	"github.com/sealpost/sealpost/internal/app"
	"github.com/sealpost/sealpost/internal/config"
)

type serveCmd struct {
	Listen  string `help:"Address and port of the web interface (https). Default :7272." placeholder:"ADDR"`
	TLSCert string `name:"tls-cert" help:"Certificate of the web interface, PEM. Default: self-signed, kept in the data folder." placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"Private key of that certificate, PEM." placeholder:"FILE"`
	Metrics string `help:"Address and port for metrics (http, keep it private). Default: off." placeholder:"ADDR"`
	Capture string `help:"Address and port of the capture mailbox on loopback, or off. Default 127.0.0.1:7225." placeholder:"ADDR"`
}

// Run serves until the process is told to stop.
func (c *serveCmd) Run(s *session) error {
	cfg, err := s.config(config.Overrides{
		Listen: c.Listen, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		MetricsListen: c.Metrics, CaptureListen: c.Capture,
	})
	if err != nil {
		return err
	}
	return app.Serve(s.ctx, cfg, app.ServeOptions{Out: s.env.Out, Log: s.env.Err, Version: version})
}
