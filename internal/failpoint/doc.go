// Package failpoint owns named points at which a test build may kill or stop
// its own process, so that tests can prove what survives it. A build without the
// tag failpoints has no such thing: there, Hit is an empty function, and
// nothing outside can switch it on.
package failpoint
