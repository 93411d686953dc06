package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sealpost/sealpost/internal/fault"
)

// ErrUnknownOutcome is wrapped by the error of an Update whose commit was
// asked for but never answered: the change may be stored or not.
var ErrUnknownOutcome = errors.New("store: the outcome of the commit is unknown")

// Rule is the sort of constraint that a statement broke.
type Rule string

// The rules.
const (
	RuleUnique     Rule = "unique"
	RuleForeignKey Rule = "foreign key"
	RuleNotNull    Rule = "not null"
	RuleCheck      Rule = "check"
)

// ConstraintError tells which constraint a statement broke. Engines differ in
// what they tell: Rule is always set; for unique constraints on plain columns
// Table and Columns are set on both; Constraint is set on PostgreSQL, and on
// SQLite for indexes on expressions and for checks. It never holds values.
type ConstraintError struct {
	// Rule is the sort of constraint.
	Rule Rule
	// Table is the table's name, or empty.
	Table string
	// Columns are the names of the columns, joined by commas, or empty.
	Columns string
	// Constraint is the name of the constraint or index, or empty.
	Constraint string
}

// Error describes the broken constraint for the log.
func (e *ConstraintError) Error() string {
	return fmt.Sprintf("store: %s constraint %q on %s(%s)", e.Rule, e.Constraint, e.Table, e.Columns)
}

// On reports whether the constraint is one on column of table, or is the
// index or constraint of that name, so that a caller can point at the field.
func (e *ConstraintError) On(table, column string) bool {
	if e.Constraint == column {
		return true
	}
	if e.Table != table {
		return false
	}
	for name := range strings.SplitSeq(e.Columns, ",") {
		if name == column {
			return true
		}
	}
	return false
}

// fault returns the constraint error as what a person may read.
func (e *ConstraintError) fault() error {
	switch e.Rule {
	case RuleUnique:
		return fault.Conflict("Something with the same name exists already. Choose another one.").Because(e)
	case RuleForeignKey:
		return fault.Conflict("This is used elsewhere, or what it refers to is gone. Reload the page and look again.").
			WithCode(fault.CodeInUse).Because(e)
	default:
		return fault.Internal(e)
	}
}

// translate turns an engine's error into the store's. Faults and the ends of
// contexts pass as they are.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var pg *pgconn.PgError
	var lite *sqlite.Error
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &pg):
		return translatePostgres(pg, err)
	case errors.As(err, &lite):
		return translateSQLite(lite, err)
	case errors.As(err, &network), errors.As(err, &connect), pgconn.SafeToRetry(err), ended(err):
		return unreachable.Because(err)
	}
	return fmt.Errorf("store: %w", err)
}

// ended reports whether the connection ended under the statement. Which of
// these it is depends on who noticed first: the driver before it wrote, or the
// one who read.
func ended(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

var (
	unreachable = fault.Unavailable("The database cannot be reached. Try again in a moment.")
	noSpace     = fault.Unavailable("The database has no space left. Make room on its disk, then try again.")
	overtaken   = fault.Unavailable("Others changed the same data at the same time. Try again.")
)

// The SQLSTATE codes that the store acts on, from appendix A of PostgreSQL's
// manual.
const (
	stateNotNull       = "23502"
	stateForeignKey    = "23503"
	stateUnique        = "23505"
	stateCheck         = "23514"
	stateIdle          = "25P03"
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateDiskFull      = "53100"
	stateTooMany       = "53300"
	stateShutdown      = "57P01"
	stateCrash         = "57P02"
	stateStarting      = "57P03"
)

func translatePostgres(pg *pgconn.PgError, err error) error {
	broken := &ConstraintError{Table: pg.TableName, Constraint: pg.ConstraintName, Columns: pg.ColumnName}
	switch pg.Code {
	case stateUnique:
		broken.Rule = RuleUnique
		broken.Columns = keyColumns(pg.Detail)
		return broken.fault()
	case stateForeignKey:
		broken.Rule = RuleForeignKey
		return broken.fault()
	case stateNotNull:
		broken.Rule = RuleNotNull
		return broken.fault()
	case stateCheck:
		broken.Rule = RuleCheck
		return broken.fault()
	case stateSerialization, stateDeadlock:
		return overtaken.Because(err)
	case stateDiskFull:
		return noSpace.Because(err)
	case stateTooMany, stateShutdown, stateCrash, stateStarting, stateIdle:
		return unreachable.Because(err)
	}
	if strings.HasPrefix(pg.Code, "08") {
		return unreachable.Because(err)
	}
	return fmt.Errorf("store: %w", err)
}

// keyColumns reads the columns out of "Key (a, b)=(1, 2) already exists.",
// and leaves the values.
func keyColumns(detail string) string {
	_, rest, _ := strings.Cut(detail, "Key (")
	columns, _, _ := strings.Cut(rest, ")=(")
	return strings.ReplaceAll(columns, ", ", ",")
}

func translateSQLite(lite *sqlite.Error, err error) error {
	switch lite.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return brokenSQLite(RuleUnique, lite.Error()).fault()
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return (&ConstraintError{Rule: RuleForeignKey}).fault()
	case sqlite3.SQLITE_CONSTRAINT_NOTNULL:
		return brokenSQLite(RuleNotNull, lite.Error()).fault()
	case sqlite3.SQLITE_CONSTRAINT_CHECK:
		return brokenSQLite(RuleCheck, lite.Error()).fault()
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return noSpace.Because(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return overtaken.Because(err)
	}
	return fmt.Errorf("store: %w", err)
}

// brokenSQLite reads table and columns out of SQLite's message, which ends in
// "… constraint failed: letter.id, letter.kind (2067)", and for an index on an
// expression in "… constraint failed: index 'name' (2067)".
func brokenSQLite(rule Rule, message string) *ConstraintError {
	e := &ConstraintError{Rule: rule}
	at := strings.LastIndex(message, "constraint failed: ")
	if at < 0 {
		return e
	}
	what := message[at+len("constraint failed: "):]
	if i := strings.LastIndex(what, " ("); i >= 0 {
		what = what[:i]
	}
	if name, ok := strings.CutPrefix(what, "index "); ok {
		e.Constraint = strings.Trim(name, "'")
		return e
	}
	var columns []string
	for part := range strings.SplitSeq(what, ", ") {
		table, column, ok := strings.Cut(part, ".")
		if !ok {
			e.Constraint = part
			continue
		}
		e.Table = table
		columns = append(columns, column)
	}
	e.Columns = strings.Join(columns, ",")
	return e
}
