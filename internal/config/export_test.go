package config

import "reflect"

// Keys returns all keys of the file.
func Keys() []string {
	typ := reflect.TypeFor[values]()
	keys := make([]string, typ.NumField())
	for i := range keys {
		keys[i] = typ.Field(i).Tag.Get("yaml")
	}
	return keys
}
