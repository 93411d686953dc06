package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/sealpost/sealpost/internal/operator"
	"github.com/sealpost/sealpost/internal/store"
	"github.com/sealpost/sealpost/internal/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sealpost": main})
}

// The scripts in testdata run the program as people do, beside a running
// server and without one.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": waitForServer, "certificate": makeCertificate, "tamper": changeAuditLog, "field": takeField, "settle": waitForLetters, "hold": holdDatabase,
		},
	})
}

// On PostgreSQL everything works the same.
func TestScriptsOnPostgres(t *testing.T) {
	url := storetest.PostgresURL(t)
	testscript.Run(t, testscript.Params{
		Files: []string{"testdata/postgres/postgres.txtar"},
		Setup: func(e *testscript.Env) error {
			e.Setenv("SEALPOST_DATABASE", url)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"up": waitForServer},
	})
}

// waitForServer DIR waits until a server answers in the folder.
func waitForServer(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		if _, up := operator.Connect(ts.MkAbs(args[0])); up {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no server in %s", args[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// holdDatabase DIR has the database open for a moment, as a command has.
func holdDatabase(ts *testscript.TestScript, _ bool, args []string) {
	lock, err := store.LockFile(filepath.Join(ts.MkAbs(args[0]), "sealpost.db.lock"), "the database")
	ts.Check(err)
	time.AfterFunc(300*time.Millisecond, lock.Release)
}

// waitForLetters DIR waits until no letter waits.
func waitForLetters(ts *testscript.TestScript, _ bool, args []string) {
	client, up := operator.Connect(ts.MkAbs(args[0]))
	if !up {
		ts.Fatalf("no server in %s", args[0])
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		var st operator.MailStatus
		b, err := client.Execute(context.Background(), "test", operator.CmdMailStatus, nil, silent{})
		ts.Check(err)
		ts.Check(json.Unmarshal(b, &st))
		if st.Waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("letters still wait: %s", b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// silent drops what a command says.
type silent struct{}

func (silent) Line(string)                   {}
func (silent) Progress(string, int64, int64) {}

// makeCertificate NAME writes NAME.pem, a self-signed certificate for NAME,
// and sets FINGERPRINT.
func makeCertificate(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: args[0]}, DNSNames: args[:1],
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	sum := sha256.Sum256(der)
	ts.Setenv("FINGERPRINT", hex.EncodeToString(sum[:]))
}

// changeAuditLog DIR does what somebody with access to the database alone can:
// it takes the triggers away and changes who did something.
func changeAuditLog(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", filepath.Join(ts.MkAbs(args[0]), "sealpost.db"))
	ts.Check(err)
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entry'`)
	ts.Check(err)
	var names []string
	for rows.Next() {
		var n string
		ts.Check(rows.Scan(&n))
		names = append(names, n)
	}
	ts.Check(rows.Err())
	for _, n := range names {
		_, err := db.Exec(`DROP TRIGGER ` + n)
		ts.Check(err)
	}
	_, err = db.Exec(`UPDATE audit_entry SET action = 'user.nothing' WHERE seq = 1`)
	ts.Check(err)
}

// takeField NAME VAR sets VAR to the field of the JSON object that the last
// command printed.
func takeField(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.NewDecoder(bytes.NewReader([]byte(ts.ReadFile("stdout")))).Decode(&object))
	b, err := json.Marshal(object[args[0]])
	ts.Check(err)
	ts.Setenv(args[1], string(bytes.Trim(b, `"`)))
}
