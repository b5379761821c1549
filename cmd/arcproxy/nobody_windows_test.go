package main

import "testing"

// asNobody is for root, whom Windows does not have.
func asNobody(t *testing.T) { t.Error("there is no root here") }
