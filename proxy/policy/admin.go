package policy

import "arcproxy/proxy/pattern"

// isAdmin reports whether a path, given by its folded segments, is one of
// administration. The first segment is the mount of an upstream, unless the
// whole mount is for administration.
//
//	/portal/portaladmin           Portal's administrator directory
//	/server/admin, /server/manager
//	                              a server's administrator directory and Manager
//	/server/rest/admin            definitions of hosted services
//	/portal/webadaptor            the web adaptor's own configuration
//	/…/datastoreadmin             a data store's
//	/notebooks/admin, /mission/admin
//	                              as any server's
//	/portal/sharing/rest/oauth2/apps, registerApp, …/registeredAppInfo
//	                              applications with their secrets, by which whoever
//	                              has seen one gets tokens of the Portal's, past the
//	                              proxy and after it has forgotten the caller
func isAdmin(segs []string) bool {
	switch {
	case len(segs) == 0:
		return false
	case adminName(segs[0]) || len(segs) > 1 && adminName(segs[1]):
		return true
	// Hosted services that the Portal passes on are below sharing/servers/ID/.
	case len(segs) > 2 && segs[1] == "sharing" && segs[2] == "servers":
		return hasPair(segs[2:], "rest", "admin") || len(segs) > 4 && adminName(segs[4])
	case len(segs) > 2 && segs[1] == "sharing":
		return isApp(segs[2:])
	}
	return len(segs) > 2 && segs[1] == "rest" && segs[2] == "admin"
}

// isApp reports whether a path below sharing is about registered applications.
func isApp(segs []string) bool {
	if segs[0] == "rest" {
		segs = segs[1:]
	}
	return len(segs) > 0 && segs[len(segs)-1] == "registeredappinfo" ||
		len(segs) > 1 && segs[0] == "oauth2" && (segs[1] == "apps" || segs[1] == "registerapp")
}

// plainlyCommon reports whether a raw path has one reading only and cannot be one
// of administration, whose names all have "ad", "man" or "app" in them. It spares the
// many callers that have no rules of their own the work of [Policy.Check].
func plainlyCommon(path string) bool {
	if path == "" || path[0] != '/' || len(path) > maxPath {
		return false
	}
	segments := 0
	var last, before byte // in small letters
	for i := range len(path) {
		c := path[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		switch {
		case c == '/':
			if segments++; segments > pattern.MaxSegments || last == '.' {
				return false
			}
		case c == '.':
			if last == '/' || last == '.' {
				return false
			}
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-':
			if c == 'd' && last == 'a' || c == 'n' && last == 'a' && before == 'm' || c == 'p' && last == 'p' && before == 'a' {
				return false
			}
		default:
			return false
		}
		before, last = last, c
	}
	return last != '.'
}

func adminName(seg string) bool {
	switch seg {
	case "admin", "manager", "portaladmin", "datastoreadmin", "webadaptor", "arcgisadmin":
		return true
	}
	return false
}

// hasPair reports whether a is directly followed by b.
func hasPair(segs []string, a, b string) bool {
	for i := 1; i < len(segs); i++ {
		if segs[i-1] == a && segs[i] == b {
			return true
		}
	}
	return false
}
