package page

// MailDelivery says in which order letters leave, how long they are tried and
// how long the journal remembers them.
type MailDelivery struct {
	Base
	Revision int64
	// Keep is the days of the journal as they were typed.
	Keep    string
	Classes []DeliveryClass
}

// Template names the file.
func (*MailDelivery) Template() string { return "mail_delivery" }

// DeliveryClass is letters of one urgency, the most urgent first.
type DeliveryClass struct {
	Title string
	// Place is the class's place in line: 1 leaves first.
	Place int
	Kinds []DeliveryKind
}

// DeliveryKind is a kind of letter with its time.
type DeliveryKind struct {
	// Field is the name of the field of the number; that of the unit has
	// "_unit" behind it.
	Field, Title string
	Number, Unit string
	// Bounds says what may be chosen, Usual what is usual.
	Bounds, Usual string
	// Fixed tells that there is no choice.
	Fixed bool
}

// Units are the units of a lifetime.
func (DeliveryKind) Units() []Option {
	return []Option{{Value: "minutes", Label: "minutes"}, {Value: "hours", Label: "hours"}, {Value: "days", Label: "days"}}
}
