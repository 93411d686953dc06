package wire

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// race connects to the first address of a host that answers (RFC 8305). refused
// returns why an address is not connected to, or nil.
func (d *Dialer) race(ctx context.Context, host, port string, refused func(netip.Addr) error) (net.Conn, error) {
	r := &race{
		d: d, host: host, port: port, refused: refused, next: d.goesFirst(host), queue: make(map[family][]netip.Addr),
		lookups: make(chan lookup, 2), tries: make(chan try), over: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer close(r.over)
	if a, err := netip.ParseAddr(host); err == nil {
		r.queue[familyOf(a)] = []netip.Addr{a}
	} else {
		r.lookUp(ctx)
	}
	return r.run(ctx)
}

// race is one race for a connection. All of it belongs to the goroutine of run;
// lookups and tries report to it.
type race struct {
	d          *Dialer
	host, port string
	refused    func(netip.Addr) error

	// next is the family whose turn it is, begun the families in the order in
	// which tries began.
	next  family
	begun []family
	queue map[family][]netip.Addr
	// looking and running count the lookups and tries under way.
	looking int
	running []netip.Addr
	lookups chan lookup
	tries   chan try
	// over is closed when nobody waits for tries any more.
	over   chan struct{}
	failed Error
}

// lookup is what a lookup found.
type lookup struct {
	family    family
	addresses []netip.Addr
	err       error
}

// try is what became of a try to connect.
type try struct {
	address netip.Addr
	conn    net.Conn
	err     error
}

// lookUp asks for the addresses of both families at once.
func (r *race) lookUp(ctx context.Context) {
	for _, f := range []family{six, four} {
		r.looking++
		go func() {
			addresses, err := r.d.lookUp(ctx, f, r.host)
			r.lookups <- lookup{f, addresses, err}
		}()
	}
}

// lookUp returns the addresses of one family, as many as are tried.
func (d *Dialer) lookUp(ctx context.Context, f family, host string) ([]netip.Addr, error) {
	found, err := d.cfg.Resolve(ctx, string(f), host)
	var out []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); familyOf(a) == f && len(out) < maxAddresses && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, err
}

func (r *race) run(ctx context.Context) (net.Conn, error) {
	timer := time.NewTimer(0)
	<-timer.C
	defer timer.Stop()
	free := r.looking == 0 // whether the next try may begin
	for {
		if free && r.begin(ctx) {
			free = false
			timer.Reset(stagger)
		}
		if r.looking == 0 && len(r.running) == 0 && r.waiting() == 0 {
			return nil, r.failed.finish(r.host, r.port)
		}
		select {
		case l := <-r.lookups:
			r.looking--
			r.queue[l.family] = l.addresses
			r.failed.lookedUp(l)
			switch {
			case len(r.begun) > 0:
			case r.looking == 0 || l.family == r.next && len(l.addresses) > 0:
				free = true
			case len(l.addresses) > 0:
				timer.Reset(headStart)
			}
		case t := <-r.tries:
			r.running = slices.DeleteFunc(r.running, func(a netip.Addr) bool { return a == t.address })
			if t.err == nil {
				r.won(familyOf(t.address))
				return t.conn, nil
			}
			r.failed.add(t.address, t.err)
			free = true
		case <-timer.C:
			free = true
		case <-ctx.Done():
			for _, a := range r.running {
				r.failed.add(a, ctx.Err())
			}
			r.failed.cause = ctx.Err()
			return nil, r.failed.finish(r.host, r.port)
		}
	}
}

func (r *race) waiting() int { return len(r.queue[six]) + len(r.queue[four]) }

// begin begins the next try, and reports false where there is none to begin.
func (r *race) begin(ctx context.Context) bool {
	for r.waiting() > 0 {
		f := r.next
		if len(r.queue[f]) == 0 {
			f = f.other()
		}
		a := r.queue[f][0]
		r.queue[f] = r.queue[f][1:]
		r.next = f.other()
		if err := r.mayTry(a); err != nil {
			r.failed.add(a, err)
			continue
		}
		r.begun = append(r.begun, f)
		r.running = append(r.running, a)
		go r.try(ctx, a)
		return true
	}
	return false
}

func (r *race) mayTry(a netip.Addr) error {
	if err := r.refused(a); err != nil {
		return err
	}
	if _, ok := r.d.source(familyOf(a)); !ok && !a.IsLoopback() {
		return errNoSource
	}
	return nil
}

// try connects. Who comes too late closes what nobody waits for.
func (r *race) try(ctx context.Context, a netip.Addr) {
	network := "tcp4"
	if familyOf(a) == six {
		network = "tcp6"
	}
	conn, err := r.d.cfg.Connect(ctx, network, net.JoinHostPort(a.String(), r.port))
	select {
	case r.tries <- try{a, conn, err}:
	case <-r.over:
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// won remembers the family that answered where the other had begun before it.
func (r *race) won(f family) {
	if r.begun[0] != f {
		r.d.remember(r.host, f)
	}
}
