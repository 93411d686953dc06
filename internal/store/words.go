package store

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// NewID returns a new id: a UUIDv7 in lower-case hexadecimal, so that ids
// made later sort later, to the millisecond.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Micros returns t as it is stored: microseconds since 1970 in UTC, rounded
// down, and 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros returns the time that Micros stored, in UTC; 0 is the zero time.
func FromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// ForUpdate returns the words that end a SELECT whose rows the transaction
// will change. SQLite needs none: its writers take turns.
func (tx *Tx) ForUpdate() string {
	if tx.db.engine == Postgres {
		return " FOR UPDATE"
	}
	return ""
}

// ForShare returns the words that end a SELECT whose rows must not change
// before the transaction ends. In a View it needs none: what it sees does not
// change.
func (tx *Tx) ForShare() string {
	if tx.db.engine == Postgres && !tx.view {
		return " FOR SHARE"
	}
	return ""
}

// SkipLocked returns the words that end a SELECT which claims rows and passes
// over those that another node is claiming.
func (tx *Tx) SkipLocked() string {
	if tx.db.engine == Postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// PlanAnew lets the statements of the transaction that follow be planned for the
// tables as they are. Without it PostgreSQL goes on with a plan that it made when
// a table was empty, and walks all of it to find a group of rows, until it has
// looked at the table again. It costs a statement: use it for groups.
func (tx *Tx) PlanAnew() error {
	if tx.db.engine != Postgres {
		return nil
	}
	_, err := tx.Exec("SET LOCAL plan_cache_mode = force_custom_plan")
	return err
}

// Like returns a condition: the column contains the text of parameter $n,
// whatever its case. Give [LikePattern] of the text as that parameter. The
// column is an expression from the program, never from a person.
func (tx *Tx) Like(column string, n int) string {
	fold := foldFunction
	if tx.db.engine == Postgres {
		fold = "lower"
	}
	return fold + "(" + column + ") LIKE $" + strconv.Itoa(n) + ` ESCAPE '\'`
}

// longestSearch bounds what is searched for, in characters: SQLite refuses
// patterns of 50,000 bytes, and long ones keep the readers busy.
const longestSearch = 200

// LikePattern returns the parameter for [Tx.Like] that finds text. Every
// character of it stands for itself; those that no stored text can hold are
// left out, and so is what stands behind the first 200.
func LikePattern(text string) string {
	folded := []rune(Fold(text))
	return "%" + likeEscaper.Replace(string(folded[:min(len(folded), longestSearch)])) + "%"
}

// Fold returns text in the form in which Like compares: lower case, without
// bytes that are no UTF-8 and without NUL.
func Fold(text string) string {
	return strings.ToLower(strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", ""))
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
