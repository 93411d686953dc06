package smtptest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

// signIn runs AUTH as RFC 4954 has it.
func (c *session) signIn(line string, words []string) error {
	if len(words) == 0 || !slices.Contains(c.sink.cfg.Mechanisms, strings.ToUpper(words[0])) ||
		c.sink.cfg.Certificate != nil && !c.Encrypted() {
		return c.answer("AUTH", line, "504 5.5.4 not this one")
	}
	initial, has := "", len(words) > 1
	if has {
		b, err := base64.StdEncoding.DecodeString(words[1])
		if err != nil {
			return c.answer("AUTH", line, "501 5.5.2 no base64")
		}
		initial = string(b)
	}
	login, ok, err := c.exchange(strings.ToUpper(words[0]), initial, has)
	if err != nil {
		return err
	}
	if !ok {
		return c.answer("AUTH", line, "535 5.7.8 user name or password is wrong")
	}
	if other := c.asked("AUTH", line); other != "" && !strings.HasPrefix(other, "2") {
		return c.say(other)
	}
	c.login = login
	return c.Say("235 2.7.0 welcome")
}

func (c *session) exchange(mechanism, initial string, has bool) (login string, ok bool, err error) {
	switch mechanism {
	case "PLAIN":
		if !has {
			if initial, ok, err = c.challenge(""); err != nil || !ok {
				return "", false, err
			}
		}
		parts := strings.Split(initial, "\x00")
		return parts[1%len(parts)], len(parts) == 3 && c.knows(parts[1], parts[2]), nil
	case "LOGIN":
		if login, ok, err = c.challenge("Username:"); err != nil || !ok {
			return "", false, err
		}
		password, ok, err := c.challenge("Password:")
		return login, ok && c.knows(login, password), err
	case "CRAM-MD5":
		const prompt = "<1896.697170952@sink.example.org>"
		got, ok, err := c.challenge(prompt)
		mac := hmac.New(md5.New, []byte(c.sink.secret()))
		mac.Write([]byte(prompt))
		return c.sink.cfg.Login, ok && got == c.sink.cfg.Login+" "+hex.EncodeToString(mac.Sum(nil)), err
	case "SCRAM-SHA-1":
		return c.scram(initial, sha1.New)
	case "SCRAM-SHA-256":
		return c.scram(initial, sha256.New)
	}
	return "", false, nil
}

func (c *session) knows(login, password string) bool {
	return login == c.sink.cfg.Login && password == c.sink.secret()
}

// scram is the server's side of RFC 5802 for logins and passwords in ASCII.
func (c *session) scram(first string, h func() hash.Hash) (string, bool, error) {
	bare, ok := strings.CutPrefix(first, "n,,")
	user, nonce, found := strings.Cut(bare, ",r=")
	login := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(strings.TrimPrefix(user, "n="))
	if !ok || !found || login != c.sink.cfg.Login {
		return "", false, nil
	}
	const rounds = 4096
	salt := []byte("a grain of salt!")
	nonce += "3rfcNHYJY1ZVvWVs7j"
	serverFirst := fmt.Sprintf("r=%s,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString(salt), rounds)
	final, ok, err := c.challenge(serverFirst)
	withoutProof, proof, found := strings.Cut(final, ",p=")
	if err != nil || !ok || !found || withoutProof != "c=biws,r="+nonce {
		return "", false, err
	}
	salted, err := pbkdf2.Key(h, c.sink.secret(), salt, rounds, h().Size())
	if err != nil {
		return "", false, err
	}
	mac := func(key []byte, text string) []byte {
		m := hmac.New(h, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	text := bare + "," + serverFirst + "," + withoutProof
	clientKey := mac(salted, "Client Key")
	stored := h()
	stored.Write(clientKey)
	want := mac(stored.Sum(nil), text)
	for i := range want {
		want[i] ^= clientKey[i]
	}
	if base64.StdEncoding.EncodeToString(want) != proof {
		return "", false, nil
	}
	_, ok, err = c.challenge("v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), text)))
	return login, ok, err
}
