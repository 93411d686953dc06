package config

import "reflect"

// Keys returns all keys of the file, those inside another one behind its name
// and a dot.
func Keys() []string { return keys("", reflect.TypeFor[values]()) }

func keys(before string, typ reflect.Type) []string {
	var all []string
	for f := range typ.Fields() {
		name := before + f.Tag.Get("yaml")
		if f.Type.Kind() == reflect.Struct {
			all = append(all, keys(name+".", f.Type)...)
			continue
		}
		all = append(all, name)
	}
	return all
}
