package okta

import (
	"crypto/aes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// devices is what an account's tokens and its organization remember of them.
type devices struct {
	hotp     uint64 // the count whose code is expected next
	hotpSeen uint64 // the count whose code the device shows next
	rsa      int64  // the time step that was used last
	symantec int64
	yubi     uint32 // the last count that was accepted
	yubiSeen uint32 // the last that the device has typed
	duo      uint64 // as hotp
	duoSeen  uint64
	signed   map[string]uint32 // WebAuthn's counters, by credential
}

// YubiKey types one-time passwords: its public identity, then its private one and
// counters, encrypted (Yubico, "YubiKey Manual", OTP).
type YubiKey struct {
	Public, Private [6]byte
	Key             [16]byte
}

// The periods of tokens with a clock, in seconds. RSA's own algorithm is not
// public; here its code is made as others are, each 60 s.
const (
	rsaStep      = 60
	symantecStep = 30
)

// tokensOf makes the factors of the devices that show codes.
func (o *Org) tokensOf(a *account) ([]*factor, error) {
	var list []*factor
	for _, x := range []struct{ secret, kind, provider, prefix string }{
		{a.HOTPSecret, "token:hotp", "CUSTOM", "ctf"},
		{a.RSASecret, "token", "RSA", "rsa"},
		{a.SymantecSecret, "token", "SYMANTEC", "svf"},
		{a.DuoSecret, "web", "DUO", "dsf"},
	} {
		if x.secret == "" {
			continue
		}
		if err := checkTOTPSecret(x.secret); err != nil {
			return nil, fmt.Errorf("%s %s: %w", x.kind, x.provider, err)
		}
		if x.kind == "web" && o.duo == nil {
			return nil, errors.New("there is no Duo")
		}
		list = append(list, &factor{id: o.id(x.prefix), kind: x.kind, provider: x.provider, profile: hal{"credentialId": a.Login}})
	}
	if y := a.YubiKey; y != nil {
		list = append(list, &factor{id: o.id("ykf"), kind: "token:hardware", provider: "YUBICO", profile: hal{"credentialId": modhex(y.Public[:])}})
	}
	return list, nil
}

// TokenCode returns what an account's device shows now, or types next: "totp",
// "hotp", "rsa", "symantec", "duo" or "yubikey".
func (o *Org) TokenCode(login, device string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.users[strings.ToLower(login)]
	if a == nil {
		return "", fmt.Errorf("okta: no user %q", login)
	}
	return o.press(a, device, time.Now().Add(o.settings.ClockSkew))
}

// press makes a device's code. It runs under o.mu.
func (o *Org) press(a *account, device string, now time.Time) (string, error) {
	d := &a.devices
	var secret string
	var count uint64
	switch device {
	case "totp":
		secret, count = a.TOTPSecret, uint64(now.Unix()/step)
	case "rsa":
		secret, count = a.RSASecret, uint64(now.Unix()/rsaStep)
	case "symantec":
		secret, count = a.SymantecSecret, uint64(now.Unix()/symantecStep)
	case "hotp":
		secret, count = a.HOTPSecret, d.hotpSeen
		d.hotpSeen++
	case "duo":
		secret, count = a.DuoSecret, d.duoSeen
		d.duoSeen++
	case "yubikey":
		if a.YubiKey == nil {
			return "", errors.New("okta: the account has no YubiKey")
		}
		d.yubiSeen++
		code := a.YubiKey.password(d.yubiSeen)
		o.secrets[code] = true
		return code, nil
	}
	if secret == "" {
		return "", fmt.Errorf("okta: the account has no device %q", device)
	}
	code, err := hotp.GenerateCode(secret, count)
	if err != nil {
		return "", fmt.Errorf("okta: %s: %w", device, err)
	}
	o.secrets[code] = true
	return code, nil
}

// checkToken returns Okta's error code for the code of a device, "" for a good one.
func (o *Org) checkToken(c *call, a *account, f *factor, code string) string {
	d := &a.devices
	timed := func(secret string, at int64, last *int64) string {
		s, ok := matchStep(secret, code, at, 1)
		switch {
		case !ok:
			return "E0000068"
		case s <= *last:
			return "E0000082"
		}
		*last = s
		return ""
	}
	switch f.provider {
	case "RSA":
		return timed(a.RSASecret, c.now.Unix()/rsaStep, &d.rsa)
	case "SYMANTEC":
		return timed(a.SymantecSecret, c.now.Unix()/symantecStep, &d.symantec)
	case "YUBICO":
		count, ok := a.YubiKey.open(code)
		switch {
		case !ok:
			return "E0000068"
		case count <= d.yubi:
			return "E0000082"
		}
		d.yubi = count
		return ""
	}
	for n := d.hotp; n <= d.hotp+uint64(o.settings.HOTPAhead); n++ { // RFC 4226 §7.4
		if ok, err := hotp.ValidateCustom(code, n, a.HOTPSecret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}); err == nil && ok {
			d.hotp = n + 1
			return ""
		}
	}
	return "E0000068"
}

// modhexSet are the 16 characters that a YubiKey types, the same on every keyboard.
const modhexSet = "cbdefghijklnrtuv"

func modhex(b []byte) string {
	var s strings.Builder
	for _, x := range b {
		s.WriteByte(modhexSet[x>>4])
		s.WriteByte(modhexSet[x&15])
	}
	return s.String()
}

func unmodhex(s string) ([]byte, bool) {
	var b []byte
	for i := 0; i+1 < len(s); i += 2 {
		hi, lo := strings.IndexByte(modhexSet, s[i]), strings.IndexByte(modhexSet, s[i+1])
		if hi < 0 || lo < 0 {
			return nil, false
		}
		b = append(b, byte(hi<<4|lo))
	}
	return b, len(s)%2 == 0
}

// password makes the password of a count: how often the key was plugged in, and
// how often it was touched since.
func (y *YubiKey) password(count uint32) string {
	plain := make([]byte, 16)
	copy(plain, y.Private[:])
	binary.LittleEndian.PutUint16(plain[6:], uint16(count>>8))
	_, _ = rand.Read(plain[8:11]) // its timer; Read never fails
	plain[11] = byte(count)
	_, _ = rand.Read(plain[12:14])
	binary.LittleEndian.PutUint16(plain[14:], ^crc(plain[:14]))
	block, _ := aes.NewCipher(y.Key[:]) // never fails with 16 bytes
	block.Encrypt(plain, plain)
	return modhex(y.Public[:]) + modhex(plain)
}

// open decrypts a password and returns its count.
func (y *YubiKey) open(password string) (uint32, bool) {
	b, ok := unmodhex(password)
	if !ok || len(b) != 22 || string(b[:6]) != string(y.Public[:]) {
		return 0, false
	}
	plain := b[6:]
	block, _ := aes.NewCipher(y.Key[:])
	block.Decrypt(plain, plain)
	if string(plain[:6]) != string(y.Private[:]) || ^crc(plain[:14]) != binary.LittleEndian.Uint16(plain[14:]) {
		return 0, false
	}
	return uint32(binary.LittleEndian.Uint16(plain[6:]))<<8 | uint32(plain[11]), true
}

// crc is the CRC-16 of ISO 13239, not complemented.
func crc(b []byte) uint16 {
	sum := uint16(0xffff)
	for _, x := range b {
		sum ^= uint16(x)
		for range 8 {
			odd := sum&1 != 0
			if sum >>= 1; odd {
				sum ^= 0x8408
			}
		}
	}
	return sum
}

// tokenPress is [Org.TokenCode] for a script: {login, device} becomes {code}.
func (o *Org) tokenPress(c *call) answer {
	var in struct {
		Login  string `json:"login"`
		Device string `json:"device"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply(http.StatusBadRequest, hal{"error": "the body is no JSON"})
	}
	a := o.users[strings.ToLower(in.Login)]
	if a == nil {
		return reply(http.StatusNotFound, hal{"error": "no such user"})
	}
	code, err := o.press(a, in.Device, c.now)
	if err != nil {
		return reply(http.StatusNotFound, hal{"error": err.Error()})
	}
	return reply(http.StatusOK, hal{"code": code})
}
