package main

import (
	"reflect"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// fileKeys returns the name of every key that type file decodes.
func fileKeys() []string {
	var keys []string
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			ft := f.Type
			if ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				walk(ft)
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			keys = append(keys, name)
		}
	}
	walk(reflect.TypeFor[file]())
	return keys
}
