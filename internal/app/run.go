package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/sealpost/sealpost/internal/config"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/identity"
	"github.com/sealpost/sealpost/internal/mail/delivery"
	"github.com/sealpost/sealpost/internal/mail/outbox"
	"github.com/sealpost/sealpost/internal/mail/servers"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/notify"
	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/server"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/web"
	"github.com/sealpost/sealpost/internal/web/static"
	"github.com/sealpost/sealpost/internal/worker"
)

const (
	// lockFile keeps a second server away from the data folder and the socket
	// in it.
	lockFile = "serve.lock"
	// stopWait is how long a process takes at most to stop: requests under way
	// and letters in flight fit in it.
	stopWait = 40 * time.Second
)

// ServeOptions are what a server needs beside the operator's configuration.
type ServeOptions struct {
	// Out receives what the person at the shell should read: the address, and
	// at the first start the one-time link. Nil means nobody.
	Out io.Writer
	// Log receives the log. Nil means nobody.
	Log io.Writer
	// Version is shown on the Admin page.
	Version string
	Outside Outside
}

// Running is a server that answers.
type Running struct {
	app     *App
	lock    *store.FileLock
	site    *server.Server
	metrics *server.Server
	control *operator.Server
	// pages are what site answers with.
	pages *web.Site
	// engine sends through the first mail server, engine2 through the second.
	engine, engine2 *delivery.Engine
	loops           loops
	reminders       *notify.Reminders
	// webhook is nil where nobody asks for alerts.
	webhook   *notify.Webhook
	setupLink string
	// fingerprint is the self-signed certificate's; empty for another one.
	fingerprint string
	stopping    atomic.Bool
	// doors let people in, the rest serves until letters have left.
	doors, rest crew
	broken      chan error
}

// Serve runs a server until ctx ends, then stops it gracefully.
func Serve(ctx context.Context, cfg config.Config, o ServeOptions) error {
	r, err := Start(ctx, cfg, o)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		r.app.log.Info("stopping")
	case err = <-r.broken:
		r.app.log.Error("stopping, because a part of the server ended", "err", err)
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	err = errors.Join(err, r.Stop(wait))
	r.app.log.Info("stopped")
	return err
}

// Start opens everything and returns once the server answers. It goes on after
// ctx ends, until Stop.
func Start(ctx context.Context, cfg config.Config, o ServeOptions) (*Running, error) {
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	log := newLog(o.Log, cfg.LogLevel, cfg.LogFormat)
	r := &Running{broken: make(chan error, 8), loops: newLoops(log)}
	if err := r.start(ctx, cfg, o, log); err != nil {
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
		defer cancel()
		return nil, errors.Join(err, r.Stop(wait))
	}
	return r, nil
}

// start opens what a server is made of. Whatever was opened when it fails is
// closed by Stop.
func (r *Running) start(ctx context.Context, cfg config.Config, o ServeOptions, log *slog.Logger) (err error) {
	if r.lock, err = lockFolder(cfg.DataDir); err != nil {
		return err
	}
	if r.app, err = patientNew(ctx, cfg, Options{Log: log, Version: o.Version, Outside: o.Outside}); err != nil {
		return err
	}
	if err := r.buildDelivery(ctx); err != nil {
		return err
	}
	if err := r.buildNotify(); err != nil {
		return err
	}
	if err := r.listen(ctx, o.Version); err != nil {
		return err
	}
	// From here on, the end of ctx is no reason to stop: Stop is.
	ctx = context.WithoutCancel(ctx)
	r.doors.start(ctx, r.broken, r.site.Serve, r.control.Serve)
	r.rest.start(ctx, r.broken, r.background()...)
	r.addLoops()
	r.loops.Start(ctx)
	return r.greet(ctx, o.Out)
}

const (
	// busyWait is how long a start waits for a command that has the database
	// open. It cannot be another server: that holds the folder.
	busyWait  = 10 * time.Second
	busyEvery = 50 * time.Millisecond
)

func patientNew(ctx context.Context, cfg config.Config, o Options) (*App, error) {
	late := time.After(busyWait)
	tick := time.NewTicker(busyEvery)
	defer tick.Stop()
	for {
		a, err := New(ctx, cfg, o)
		if !Busy(err) {
			return a, err
		}
		select {
		case <-tick.C:
		case <-late:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func lockFolder(dir string) (*store.FileLock, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	return store.LockFile(filepath.Join(dir, lockFile), dir)
}

func (r *Running) buildDelivery(ctx context.Context) (err error) {
	a := r.app
	c := delivery.Config{Return: a.returnOf, Signer: signer{a.dkim}, Mail: a.mail, Outbox: a.outbox, Table: a.table, Pace: a.pace, Now: a.out.Now, Log: a.log}
	if a.cfg.MetricsListen != "" {
		a.metrics = newMetrics(a)
		c.Observe = a.metrics.delivered
	}
	if r.engine, err = delivery.New(c); err != nil {
		return err
	}
	c.Mail, c.Slot = a.second, outbox.Second
	if r.engine2, err = delivery.New(c); err != nil {
		return err
	}
	if a.db.Engine() == store.SQLite {
		// Nobody else can be sending: what was in flight was cut off.
		return errors.Join(a.outbox.Recover(ctx), a.pace.Recover(ctx))
	}
	return nil
}

// listen opens all listeners, before any of them answers.
func (r *Running) listen(ctx context.Context, version string) (err error) {
	a := r.app
	handler, err := r.handler(version)
	if err != nil {
		return err
	}
	certificate, err := a.certificate(ctx)
	if err != nil {
		return err
	}
	if a.cfg.TLSCert == "" {
		c, err := certificate(nil)
		if err != nil {
			return err
		}
		r.fingerprint = trust.Colons(trust.Fingerprint(c.Certificate[0]))
	}
	r.site, err = server.New(server.Config{Addr: a.cfg.Listen, Certificate: certificate, Handler: handler, Log: a.log})
	if err != nil {
		return err
	}
	url := localURL(actual(a.cfg.Listen, r.site.Addr()))
	a.url.Store(&url)
	if a.metrics != nil {
		r.metrics, err = server.New(server.Config{Addr: a.cfg.MetricsListen, Handler: a.metrics.handler(), Log: a.log})
		if err != nil {
			return err
		}
	}
	a.openCapture()
	r.control, err = operator.Listen(a.cfg.DataDir, a.door, a.log)
	return err
}

// openCapture opens the capture mailbox. It is for trying out: where its port
// is taken, as by another Sealpost on this machine, the rest works without it.
func (a *App) openCapture() {
	if a.capture == nil {
		return
	}
	if err := a.capture.Listen(a.cfg.CaptureListen); err != nil {
		a.log.Warn("the capture mailbox is off", "err", err)
	}
}

// background is what serves until the last letter has left.
func (r *Running) background() []func(context.Context) error {
	var serve []func(context.Context) error
	if r.metrics != nil {
		serve = append(serve, r.metrics.Serve)
	}
	if r.app.captureAddr() != "" {
		serve = append(serve, r.app.capture.Serve)
	}
	return serve
}

// handler returns the web interface with what every request passes.
func (r *Running) handler(version string) (http.Handler, error) {
	a := r.app
	site, err := web.New(web.Config{
		Users: a.users, Vault: a.vault, Mail: a.mail, Doctor: a.doctor, Second: a.second, SecondDoctor: a.doctor2, Servers: a.servers, Outbox: a.outbox, Bounces: a.bounces, DKIM: a.dkim, Capture: a.capture,
		Audit: a.audit, DB: a.db, Letters: a.letters, Log: a.log, Now: a.out.Now, Version: version,
	})
	if err != nil {
		return nil, err
	}
	r.pages = site
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathAlive, serveAlive)
	mux.HandleFunc("GET "+pathReady, r.serveReady)
	mux.Handle("/", site.Handler())
	c := server.ChainConfig{
		Log: a.log, TrustedProxies: a.cfg.TrustedProxies, HSTS: a.cfg.TLSCert != "",
		Quiet: func(pattern string) bool {
			return pattern == pathAlive || pattern == pathReady || pattern == static.Prefix
		},
	}
	if a.metrics != nil {
		c.Observe = a.metrics.answered
	}
	return server.Chain(mux, c), nil
}

// certificate returns the operator's certificate, or a self-signed one for
// this machine and the host of the Access URL.
func (a *App) certificate(ctx context.Context) (server.CertificateFunc, error) {
	if a.cfg.TLSCert != "" {
		return server.KeepFiles(a.cfg.TLSCert, a.cfg.TLSKey, a.out.Now, a.log)
	}
	site, err := a.users.Site(ctx)
	if err != nil {
		return nil, err
	}
	return server.KeepSelfSigned(a.cfg.DataDir, certificateHosts(a.cfg.Listen, site.AccessURL), a.out.Now, a.log)
}

const (
	upkeepEvery = time.Minute
	// deliveryEvery is how long a letter of another node, or one put off, waits
	// at most beyond its time.
	deliveryEvery = time.Second
	// keepAliveEvery is how often it is asked whether a sign-in at a provider
	// was used within the day.
	keepAliveEvery = time.Hour
)

func (r *Running) addLoops() {
	a := r.app
	a.bell.first.Store(r.loops.Add(worker.Loop{Name: "delivery", Every: deliveryEvery, Run: r.engine.Run, Wait: r.engine.Wait}))
	a.bell.second.Store(r.loops.Add(worker.Loop{Name: "delivery second", Every: deliveryEvery, Run: r.engine2.Run, Wait: r.engine2.Wait}))
	r.loops.Add(worker.Loop{Name: "servers", Every: servers.WatchEvery, Run: func(ctx context.Context) (bool, error) {
		return false, a.servers.Watch(ctx)
	}})
	r.loops.Add(worker.Loop{Name: "outbox", Every: upkeepEvery, Run: a.keepOutbox})
	r.loops.Add(worker.Loop{Name: "identity", Every: identity.SweepEvery, Run: func(ctx context.Context) (bool, error) {
		return false, a.users.Sweep(ctx)
	}})
	r.loops.Add(worker.Loop{Name: "tokens", Every: keepAliveEvery, Run: func(ctx context.Context) (bool, error) {
		return false, errors.Join(a.mail.KeepAlive(ctx), a.second.KeepAlive(ctx))
	}})
	r.loops.Add(worker.Loop{Name: "reminders", Every: notify.RemindEvery, Run: func(ctx context.Context) (bool, error) {
		return false, r.reminders.Run(ctx)
	}})
	a.addBounceLoops(r.loops)
	r.loops.Add(worker.Loop{Name: "dkim", Every: tendEvery, Run: func(ctx context.Context) (bool, error) {
		return false, a.dkim.Tend(ctx)
	}})
	if r.webhook != nil {
		r.loops.Add(worker.Loop{Name: "alerts", Every: notify.FollowEvery, Run: r.webhook.Run})
	}
	r.loops.Add(worker.Loop{Name: "memory", Every: trimEvery, Run: trimMemory})
	if a.capture != nil {
		r.loops.Add(worker.Loop{Name: "capture", Every: upkeepEvery, Run: func(ctx context.Context) (bool, error) {
			return false, a.capture.Prune(ctx)
		}})
	}
}

// keepOutbox ends letters whose time is over and forgets old ones, some at a
// time.
func (a *App) keepOutbox(ctx context.Context) (more bool, err error) {
	ended, err := a.outbox.Expire(ctx)
	if err != nil {
		return false, err
	}
	more, err = a.outbox.Retention(ctx)
	return more || ended == outbox.ExpireAtOnce, err
}

// greet tells the person at the shell where the server is and, while there is
// no user, how to get in.
func (r *Running) greet(ctx context.Context, out io.Writer) error {
	needed, err := r.app.users.SetupNeeded(ctx)
	if err != nil {
		return err
	}
	if needed {
		token, err := r.app.users.SetupLink(ctx)
		switch {
		case err == nil:
			// Printed, not logged: whoever reads the log must not get in.
			r.setupLink = r.URL() + "/setup#" + token.Reveal()
		case !fault.Is(err, fault.KindConflict):
			return err
		}
	}
	fmt.Fprintf(out, "Sealpost is at %s\n", r.URL())
	if r.setupLink != "" {
		fmt.Fprintf(out, "Nobody can sign in yet. Open this one-time link to set Sealpost up:\n\n  %s\n\n", r.setupLink)
		if r.fingerprint != "" {
			fmt.Fprintf(out, "The certificate is self-signed, of which the browser warns. Its SHA-256 is\n%s\n", r.fingerprint)
		}
	}
	r.app.log.Info("serving", "url", r.URL(), "database", string(r.app.db.Engine()), "data", r.app.cfg.DataDir)
	return nil
}

// URL is where the web interface is on this machine.
func (r *Running) URL() string { return *r.app.url.Load() }

// SetupLink is the one-time link to the set-up, empty where it is done.
func (r *Running) SetupLink() string { return r.setupLink }

// Stop lets nobody in any more, waits for requests and letters under way, at
// most until ctx ends, and closes everything.
func (r *Running) Stop(ctx context.Context) error {
	r.stopping.Store(true)
	if r.pages != nil {
		// A page that follows the journal is a request that does not end by itself.
		r.pages.EndStreams()
	}
	err := r.doors.stop(ctx)
	err = errors.Join(err, r.loops.Stop(ctx))
	for _, e := range []*delivery.Engine{r.engine, r.engine2} {
		if e != nil {
			err = errors.Join(err, e.Close(ctx))
		}
	}
	err = errors.Join(err, r.rest.stop(ctx))
	if r.app != nil && r.app.capture != nil {
		err = errors.Join(err, r.app.capture.Close())
	}
	for _, s := range []*server.Server{r.site, r.metrics} {
		if s != nil {
			// Serve closed it already, unless the start failed before.
			_ = s.Close()
		}
	}
	if r.app != nil {
		err = errors.Join(err, r.app.Close())
	}
	if r.lock != nil {
		r.lock.Release()
	}
	return err
}
