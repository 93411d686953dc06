package server

import (
	"errors"
	"net/http"

	"github.com/sealpost/sealpost/internal/fault"
)

// StatusOf returns the HTTP status that tells a client of err.
func StatusOf(err error) int {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	if fault.CodeOf(err) == fault.CodeLimited {
		return http.StatusTooManyRequests
	}
	switch fault.KindOf(err) {
	case fault.KindNotFound:
		return http.StatusNotFound
	case fault.KindDenied:
		return http.StatusForbidden
	case fault.KindInvalid:
		return http.StatusUnprocessableEntity
	case fault.KindConflict:
		return http.StatusConflict
	case fault.KindUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
