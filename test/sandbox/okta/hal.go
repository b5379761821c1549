package okta

import (
	"net/http"
	"time"
)

// stamp is Okta's form of a time.
const stamp = "2006-01-02T15:04:05.000Z"

// link is a HAL link with Okta's hints.
func (o *Org) link(path string, method string) hal {
	return hal{"href": o.url(path), "hints": hal{"allow": []string{method}}}
}

// named is a link of "next": clients look at its name.
func (o *Org) named(name, path string) hal {
	l := o.link(path, http.MethodPost)
	l["name"] = name
	return l
}

// show renders a transaction in its state. In SUCCESS it ends it: there is a
// session token instead, or, after a step-up, the way back to the application.
func (o *Org) show(c *call, t *transaction) answer {
	embedded := hal{"user": t.account.show()}
	links := hal{"cancel": o.link("/api/v1/authn/cancel", http.MethodPost)}
	doc := hal{
		"stateToken": t.token,
		"expiresAt":  t.expires.UTC().Format(stamp),
		"status":     t.status,
		"_embedded":  embedded,
		"_links":     links,
	}
	if t.app != nil {
		doc["type"] = "SESSION_STEP_UP"
		embedded["target"] = hal{"type": "APP", "name": t.app.Name, "label": t.app.Label, "_links": hal{}}
	}
	switch t.status {
	case PasswordWarn:
		embedded["policy"] = hal{"expiration": hal{"passwordExpireDays": 4}, "complexity": complexity()}
		links["next"] = o.named("changePassword", "/api/v1/authn/credentials/change_password")
		links["skip"] = o.named("skip", "/api/v1/authn/skip")
	case PasswordExpired:
		embedded["policy"] = hal{"complexity": complexity()}
		links["next"] = o.named("changePassword", "/api/v1/authn/credentials/change_password")
	case PasswordReset:
		embedded["policy"] = hal{"complexity": complexity()}
		links["next"] = o.named("resetPassword", "/api/v1/authn/credentials/reset_password")
	case Recovery:
		embedded["user"].(hal)["recovery_question"] = hal{"question": "Who's a major player in the cowboy scene?"}
		doc["recoveryType"] = "PASSWORD"
		links["next"] = o.named("answer", "/api/v1/authn/recovery/answer")
	case RecoveryChallenge:
		doc["recoveryType"], doc["factorType"] = "PASSWORD", "SMS"
		links["next"] = o.named("verify", "/api/v1/authn/recovery/factors/sms/verify")
	case ConsentRequired:
		links["next"] = o.named("consent", "/api/v1/authn/consent")
	case ProfileRequired:
		links["next"] = o.named("enrollProfile", "/api/v1/registration/profile")
	case MFAEnroll:
		embedded["factors"] = o.offers()
	case mfaEnrollActivate:
		f := t.factor.show()
		f["_embedded"] = hal{"activation": hal{
			"timeStep": 30, "sharedSecret": t.enrolSecret, "encoding": "base32", "keyLength": 16,
			"_links": hal{"qrcode": hal{"href": o.url("/api/v1/users/" + t.account.id + "/factors/" + t.factor.id + "/qr/" + t.token), "type": "image/png"}},
		}}
		embedded["factor"] = f
		links["next"] = o.named("activate", "/api/v1/authn/factors/"+t.factor.id+"/lifecycle/activate")
		links["prev"] = o.link("/api/v1/authn/previous", http.MethodPost)
	case mfaRequired:
		list := []hal{}
		for _, f := range t.account.factors {
			d := f.show()
			d["_links"] = hal{"verify": o.link("/api/v1/authn/factors/"+f.id+"/verify", http.MethodPost)}
			list = append(list, d)
		}
		embedded["factors"] = list
		embedded["policy"] = o.policy(t)
	case mfaChallenge:
		o.showChallenge(c, t, doc, embedded, links)
	case success:
		delete(links, "cancel")
		if t.app != nil {
			next := o.link("/login/step-up/redirect?stateToken="+t.token, http.MethodGet)
			next["name"] = "original"
			links["next"] = next
			break
		}
		delete(doc, "stateToken")
		delete(doc, "_links")
		delete(o.transactions, t.token)
		token := o.token("20111", 40)
		o.tokens[token] = &oneTime{account: t.account, expires: c.now.Add(o.settings.SessionTokenLife), mfa: t.checkedMFA}
		o.counts.SessionTokens++
		doc["sessionToken"] = token
		doc["expiresAt"] = c.now.Add(o.settings.SessionTokenLife).UTC().Format(stamp)
	}
	if word, ok := factorWords[t.status]; ok && o.settings.FactorWords {
		doc["status"] = word
	}
	return reply(http.StatusOK, doc)
}

// factorWords are the names that Okta's widget also routes as second factors.
// When the service uses them is unproven.
var factorWords = map[State]State{mfaRequired: "FACTOR_REQUIRED", mfaChallenge: "FACTOR_CHALLENGE"}

// showChallenge renders MFA_CHALLENGE: next.name tells a client whether its next
// POST polls or begins a new challenge [W].
func (o *Org) showChallenge(c *call, t *transaction, doc, embedded, links hal) {
	base := "/api/v1/authn/factors/" + t.factor.id + "/verify"
	f := t.factor.show()
	inner := hal{"verification": nil}
	next := o.named("verify", base)
	if t.result != "" {
		doc["factorResult"] = t.result
		if t.result == "WAITING" {
			next = o.named("poll", base)
		}
	}
	switch t.factor.kind {
	case "push":
		if t.result == "WAITING" && t.push != nil && t.push.number != nil && t.push.shown {
			// An integer, and zero is a number like any other.
			inner = hal{"challenge": hal{"correctAnswer": *t.push.number}}
		}
		if t.result == "ERROR" {
			doc["factorResultMessage"] = "The push could not be delivered."
		}
		links["resend"] = []hal{o.named("push", base+"/resend")}
	case "sms", "call", "email":
		links["resend"] = []hal{o.named(t.factor.kind, base+"/resend")}
	case "web":
		if t.result == "WAITING" {
			inner = hal{"verification": o.duoRequest(c, t.account, "/api/v1/authn/factors/"+t.factor.id+"/lifecycle/duoCallback")}
		}
		next = o.named("poll", base)
	case "webauthn":
		inner = hal{"challenge": o.keyChallenge(t.challenge)}
	case "u2f":
		inner = hal{"challenge": hal{"nonce": "kz7fO0mXoX3B-3t4r5o2", "timeoutSeconds": 20}}
	}
	f["_embedded"] = inner
	embedded["factor"] = f
	embedded["policy"] = o.policy(t)
	links["next"] = next
	links["prev"] = o.link("/api/v1/authn/previous", http.MethodPost)
}

// policy is the part of the sign-on policy that clients may see.
func (o *Org) policy(t *transaction) hal {
	allow := o.settings.AllowRememberDevice && t.app == nil
	minutes := 0
	if allow {
		minutes = int(o.settings.RememberDevice / time.Minute)
	}
	return hal{
		"allowRememberDevice":             allow,
		"rememberDeviceLifetimeInMinutes": minutes,
		"rememberDeviceByDefault":         false,
		"factorsPolicyInfo":               hal{},
	}
}

// show renders the account as _embedded.user.
func (a *account) show() hal {
	return hal{
		"id":              a.id,
		"passwordChanged": a.changed.UTC().Format(stamp),
		"profile": hal{
			"login": a.Login, "firstName": a.FirstName, "lastName": a.LastName,
			"locale": "en", "timeZone": "America/Los_Angeles",
		},
	}
}

// show renders a factor without links.
func (f *factor) show() hal {
	d := hal{"id": f.id, "factorType": f.kind, "provider": f.provider, "vendorName": f.provider}
	if f.profile != nil {
		d["profile"] = f.profile
	}
	return d
}

// complexity is the password policy of setPassword.
func complexity() hal {
	return hal{"minLength": 8, "minLowerCase": 0, "minUpperCase": 0, "minNumber": 0, "minSymbol": 0, "excludeUsername": false}
}
