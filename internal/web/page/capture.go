package page

import (
	"time"
)

// CaptureList shows the letters that the capture mailbox caught.
type CaptureList struct {
	Base
	Text  string
	Mails []CapturedMail
	Pager Pager
	// Address is where the mailbox listens; empty where it does not.
	Address string
	// Active tells that letters go there now.
	Active bool
	Live   string
	Ask    string
}

// Template names the file.
func (*CaptureList) Template() string { return "capture_list" }

// CapturedMail is a letter in the list.
type CapturedMail struct {
	ID, From, To, Subject string
	At                    time.Time
	Size                  int
}

// CaptureMail shows one letter that was caught.
type CaptureMail struct {
	Base
	Mail CapturedMail
	// View is "html", "text", "headers" or "source".
	View    string
	HasHTML bool
	Text    string
	Headers [][2]string
	Source  string
	// Cut tells that the source is longer than what is shown.
	Cut bool
	// Attachments are the names and sizes of further parts.
	Attachments []CapturedPart
	Ask         string
}

// CapturedPart is a file that came with a letter.
type CapturedPart struct {
	Name, Type string
	Size       int
}

// Template names the file.
func (*CaptureMail) Template() string { return "capture_mail" }

// Tab is one of the ways to look at a letter.
type Tab struct {
	Name, Path string
	Current    bool
}

// Tabs are the ways to look at it.
func (p *CaptureMail) Tabs() []Tab {
	var tabs []Tab
	for _, t := range [][2]string{{"html", "HTML"}, {"text", "Text"}, {"headers", "Headers"}, {"source", "Source"}} {
		if t[0] != "html" || p.HasHTML {
			tabs = append(tabs, Tab{Name: t[1], Path: "?view=" + t[0], Current: p.View == t[0]})
		}
	}
	return tabs
}
