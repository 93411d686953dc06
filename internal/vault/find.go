package vault

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/store"
)

// Filter says which resources are wanted, and in which order. Empty fields do
// not filter.
type Filter struct {
	// Text is looked for in name, address, names of accounts, department,
	// location, type, URL and the first 500 characters of the notes. Of
	// several words each must be found.
	Text string
	// Type is a whole type, whatever its case.
	Type string
	// Sort is "name" (where it is empty), "type" or "changed", with "-" before
	// it for the reverse: "-changed" begins with the newest.
	Sort string
	// Cursor is the Next of the page before.
	Cursor string
	// Limit is the number of resources, 50 where it is 0, 500 at most.
	Limit int
}

// Page is a page of resources.
type Page struct {
	Resources []Resource
	// Next is the cursor of the following page; empty on the last.
	Next string
	// Total counts all that fit the filter.
	Total int
}

// maxText and maxTerms bound what is searched for.
const (
	maxText  = 200
	maxTerms = 8
)

// terms returns the words of a search, each a pattern for LIKE.
func terms(text string) []string {
	if runes := []rune(strings.ToValidUTF8(text, "")); len(runes) > maxText {
		text = string(runes[:maxText])
	}
	words := strings.Fields(norm.NFC.String(text))
	var patterns []string
	for _, w := range words[:min(len(words), maxTerms)] {
		patterns = append(patterns, store.LikePattern(w))
	}
	return patterns
}

// order is a sort that can go on behind any row: its columns tell all rows
// apart.
type order struct {
	name    string
	columns []string
	down    bool
}

// orderOf returns the order of a name. Only these reach a statement.
func orderOf(sort string) (order, error) {
	if sort == "" {
		sort = "name"
	}
	name, down := strings.CutPrefix(sort, "-")
	o := order{name: sort, down: down}
	switch name {
	case "name":
		o.columns = []string{"r.name_key", "r.id"}
	case "type":
		o.columns = []string{"r.type_key", "r.name_key", "r.id"}
	case "changed":
		o.columns = []string{"r.changed_at", "r.id"}
	default:
		return order{}, fault.Invalid("sort", "Resources are sorted by name, type or changed.")
	}
	return o, nil
}

// by returns the words behind ORDER BY.
func (o order) by() string {
	way := ""
	if o.down {
		way = " DESC"
	}
	return strings.Join(o.columns, way+", ") + way
}

// key returns where r stands in the order.
func (o order) key(r Resource) []string {
	var key []string
	for _, column := range o.columns {
		switch column {
		case "r.name_key":
			key = append(key, nameKey(r.Name))
		case "r.type_key":
			key = append(key, nameKey(r.Type))
		case "r.changed_at":
			key = append(key, strconv.FormatInt(store.Micros(r.ChangedAt), 10))
		case "r.id":
			key = append(key, r.ID)
		}
	}
	return key
}

// cursor returns the place of r as text for an URL.
func (o order) cursor(r Resource) string {
	// A slice of strings can always be written as JSON.
	text, _ := json.Marshal(append([]string{o.name}, o.key(r)...))
	return base64.RawURLEncoding.EncodeToString(text)
}

// behind adds to c that rows stand behind a cursor's place.
func (o order) behind(c *conditions, cursor string) error {
	lost := fault.Invalid("cursor", "This page of the list is not known any more. Start again from the first.")
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return lost
	}
	var key []string
	if err := json.Unmarshal(text, &key); err != nil || len(key) != 1+len(o.columns) || key[0] != o.name {
		return lost
	}
	args := make([]any, len(o.columns))
	for i, column := range o.columns {
		args[i] = key[i+1]
		if column == "r.changed_at" {
			if args[i], err = strconv.ParseInt(key[i+1], 10, 64); err != nil {
				return lost
			}
		}
	}
	sign := ">"
	if o.down {
		sign = "<"
	}
	places := strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")
	c.add("("+strings.Join(o.columns, ", ")+") "+sign+" ("+places+")", args...)
	return nil
}

// mentions is the condition that a term is somewhere in a resource.
const mentions = `(r.search LIKE ? ESCAPE '\' OR r.account_names LIKE ? ESCAPE '\')`

// conditions returns what a resource must fulfil to be seen by by and to fit
// f, wherever in the list it stands.
func (f Filter) conditions(by actor.Actor) conditions {
	var c conditions
	visible(&c, by)
	if kind := nameKey(tidyLine(f.Type)); kind != "" {
		c.add("r.type_key = ?", kind)
	}
	for _, term := range terms(f.Text) {
		c.add(mentions, term, term)
	}
	return c
}

// Resources lists what by may see, page by page.
func (s *Service) Resources(ctx context.Context, by actor.Actor, f Filter) (Page, error) {
	o, err := orderOf(f.Sort)
	if err != nil {
		return Page{}, err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	rest := f.conditions(by)
	if f.Cursor != "" {
		if err := o.behind(&rest, f.Cursor); err != nil {
			return Page{}, err
		}
	}
	var page Page
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		page, err = s.page(tx, by, f, o, rest)
		return err
	})
	return page, err
}

func (s *Service) page(tx *store.Tx, by actor.Actor, f Filter, o order, rest conditions) (Page, error) {
	var page Page
	var err error
	if page.Resources, err = listResources(tx, rest, o, f.Limit+1); err != nil {
		return Page{}, err
	}
	page.Total = len(page.Resources)
	if page.Total > f.Limit || f.Cursor != "" {
		// Only what does not fit on one page is worth the counting.
		if page.Total, err = countResources(tx, f.conditions(by)); err != nil {
			return Page{}, err
		}
	}
	if len(page.Resources) > f.Limit {
		page.Resources = page.Resources[:f.Limit]
		page.Next = o.cursor(page.Resources[f.Limit-1])
	}
	for i, r := range page.Resources {
		if page.Resources[i], err = s.grade(tx, by, r); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

// maxPicked bounds the resources among whose accounts one is chosen. Who does
// not find theirs among so many types more of it.
const maxPicked = 300

// SearchAccounts returns accounts that by may see, for a field in which one is
// chosen: each word of text is in the account's name or in what is said of its
// resource. limit is 1 to 100.
func (s *Service) SearchAccounts(ctx context.Context, by actor.Actor, text string, limit int) ([]Account, error) {
	o, err := orderOf("name")
	if err != nil {
		return nil, err
	}
	resources := Filter{Text: text}.conditions(by)
	resources.add("r.account_names <> ''")
	var c conditions
	c.within(resources, o, maxPicked)
	for _, term := range terms(text) {
		c.add(`(a.name_key LIKE ? ESCAPE '\' OR r.search LIKE ? ESCAPE '\')`, term, term)
	}
	var accounts []Account
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if accounts, err = listAccounts(tx, c, min(max(limit, 1), 100)); err != nil {
			return err
		}
		for i, a := range accounts {
			if accounts[i], err = s.gradeAccount(tx, by, a); err != nil {
				return err
			}
		}
		return nil
	})
	return accounts, err
}
