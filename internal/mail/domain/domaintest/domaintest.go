// Package domaintest is a DNS server on loopback for tests: it answers from a
// list, and misbehaves where a test says so.
package domaintest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Way is how the server treats the questions about a name.
type Way int

// The ways.
const (
	// Answer is the usual one.
	Answer Way = iota
	// ServFail, Refuse and NotThere answer with that code, whatever there is.
	ServFail
	Refuse
	NotThere
	// Silence never answers.
	Silence
	// Truncate cuts answers over UDP, so that they are asked for over TCP.
	Truncate
	// Garbage answers with bytes that are no message, WrongID with the answer to
	// another question.
	Garbage
	WrongID
	// Loop answers with names that lead to each other.
	Loop
	// Lost drops the first question, as a network does.
	Lost
)

// Server answers questions. It is safe for use by several goroutines.
type Server struct {
	t       testing.TB
	udp     *net.UDPConn
	tcp     *net.TCPListener
	running sync.WaitGroup

	mu      sync.Mutex
	records map[string][]string
	ways    map[string]Way
	asked   []string
	conns   map[net.Conn]bool
	closed  bool
}

// Start returns a server that knows records: "example.org TXT" and the like lead
// to their values. It ends with the test.
func Start(t testing.TB, records map[string][]string) *Server {
	t.Helper()
	s := &Server{t: t, records: map[string][]string{}, ways: map[string]Way{}, conns: map[net.Conn]bool{}}
	for key, values := range records {
		s.records[key] = values
	}
	for range 20 {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		// Both on the same port, as the DNS has it.
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: udp.LocalAddr().(*net.UDPAddr).Port})
		if err == nil {
			s.udp, s.tcp = udp, tcp
			break
		}
		_ = udp.Close()
	}
	if s.tcp == nil {
		t.Fatal("no port is free for both UDP and TCP")
	}
	s.running.Go(s.serveUDP)
	s.running.Go(s.serveTCP)
	t.Cleanup(s.close)
	return s
}

func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	_ = s.udp.Close()
	_ = s.tcp.Close()
	s.running.Wait()
}

// Addr returns "host:port".
func (s *Server) Addr() string { return s.udp.LocalAddr().String() }

// Put replaces the records "name TYPE".
func (s *Server) Put(key string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[key] = values
}

// Treat sets how questions about a name are treated.
func (s *Server) Treat(name string, way Way) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ways[name] = way
}

// Asked returns what was asked: "name TYPE", in the order of the questions.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Server) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if reply := s.answer(buf[:n], false); reply != nil {
			_, _ = s.udp.WriteToUDPAddrPort(reply, from)
		}
	}
}

func (s *Server) serveTCP() {
	for {
		conn, err := s.tcp.AcceptTCP()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		s.conns[conn] = true
		s.mu.Unlock()
		s.running.Go(func() { s.talk(conn) })
	}
}

func (s *Server) talk(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	for {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		reply := s.answer(question, true)
		if reply == nil {
			continue
		}
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// answer returns the reply to a message, nil for none.
func (s *Server) answer(message []byte, tcp bool) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	kind := strings.TrimPrefix(q.Type.String(), "Type")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, name+" "+kind)
	way := s.ways[name]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	switch way {
	case Silence:
		return nil
	case Lost:
		s.ways[name] = Answer
		return nil
	case Garbage:
		return append(message[:2:2], "\xff\xff this is no message"...)
	case WrongID:
		reply.ID++
	case ServFail:
		reply.RCode = dnsmessage.RCodeServerFailure
	case Refuse:
		reply.RCode = dnsmessage.RCodeRefused
	case NotThere:
		reply.RCode = dnsmessage.RCodeNameError
	case Loop:
		reply.Answers = loop(q)
	}
	if reply.RCode == dnsmessage.RCodeSuccess && way != Loop {
		if way == Truncate && !tcp {
			reply.Truncated = true
		} else {
			s.fill(&reply, q, name, kind)
		}
	}
	packed, err := reply.Pack()
	if err != nil {
		s.t.Errorf("the answer to %s %s: %v", name, kind, err)
		return nil
	}
	if !tcp && len(packed) > 1232 {
		reply.Answers, reply.Truncated = nil, true
		packed, _ = reply.Pack()
	}
	return packed
}

// fill puts the records of a name into a reply, following CNAME once.
func (s *Server) fill(m *dnsmessage.Message, q dnsmessage.Question, name, kind string) {
	owner := q.Name
	if to := s.records[name+" CNAME"]; len(to) > 0 {
		target := dnsmessage.MustNewName(to[0] + ".")
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head(owner, dnsmessage.TypeCNAME), Body: &dnsmessage.CNAMEResource{CNAME: target}})
		name, owner = to[0], target
	}
	for _, value := range s.records[name+" "+kind] {
		body, err := body(kind, value)
		if err != nil {
			s.t.Errorf("%s %s %q: %v", name, kind, value, err)
			continue
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head(owner, q.Type), Body: body})
	}
	if len(m.Answers) > 0 {
		return
	}
	for key := range s.records {
		if strings.HasPrefix(key, name+" ") || strings.Contains(key, "."+name+" ") {
			return // the name is there, without such a record
		}
	}
	m.RCode = dnsmessage.RCodeNameError
}

func head(name dnsmessage.Name, kind dnsmessage.Type) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: name, Type: kind, Class: dnsmessage.ClassINET, TTL: 60}
}

func body(kind, value string) (dnsmessage.ResourceBody, error) {
	switch kind {
	case "TXT":
		var parts []string
		for len(value) > 255 {
			parts, value = append(parts, value[:255]), value[255:]
		}
		return &dnsmessage.TXTResource{TXT: append(parts, value)}, nil
	case "A":
		a, err := netip.ParseAddr(value)
		if err != nil {
			return nil, err
		}
		return &dnsmessage.AResource{A: a.As4()}, nil
	case "AAAA":
		a, err := netip.ParseAddr(value)
		if err != nil {
			return nil, err
		}
		return &dnsmessage.AAAAResource{AAAA: a.As16()}, nil
	case "MX":
		pref, host, _ := strings.Cut(value, " ")
		n, err := strconv.ParseUint(pref, 10, 16)
		if err != nil {
			return nil, err
		}
		name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
		return &dnsmessage.MXResource{Pref: uint16(n), MX: name}, err
	case "PTR":
		name, err := dnsmessage.NewName(value + ".")
		return &dnsmessage.PTRResource{PTR: name}, err
	}
	return nil, errors.New("no such type here")
}

// loop is an answer whose names lead to each other.
func loop(q dnsmessage.Question) []dnsmessage.Resource {
	other := dnsmessage.MustNewName("loop.example.")
	return []dnsmessage.Resource{
		{Header: head(q.Name, dnsmessage.TypeCNAME), Body: &dnsmessage.CNAMEResource{CNAME: other}},
		{Header: head(other, dnsmessage.TypeCNAME), Body: &dnsmessage.CNAMEResource{CNAME: q.Name}},
	}
}
