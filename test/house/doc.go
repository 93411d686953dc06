// Package house holds tests about the source itself: which package may import
// which, how long functions and packages grow, what is forbidden where. It
// has no code of its own.
package house
