package main

import (
	"reflect"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// fileKeys returns every key that type file decodes, as "tls.mode".
func fileKeys() []string {
	var keys []string
	var walk func(string, reflect.Type)
	walk = func(section string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			ft := f.Type
			if ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct {
				ft = ft.Elem()
			}
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if ft.Kind() == reflect.Struct {
				walk(section+name+".", ft)
				continue
			}
			keys = append(keys, section+name)
		}
	}
	walk("", reflect.TypeFor[file]())
	return keys
}
