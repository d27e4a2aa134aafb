package hacf

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"linuxha/heartbeatd/hamsg"
)

var authSummary = []Note{
	{Error, "Authentication configuration error."},
	{Error, "Configuration error, heartbeat not started."},
}

// LoadKeys reads authkeys (HB 13); what cannot be used is an *Invalid.
func LoadKeys(dir string) (*hamsg.Keys, []Note, error) {
	file := dir + "//authkeys"
	st, err := os.Stat(file)
	if err == nil && st.Mode().Perm()&0o044 != 0 {
		return nil, nil, invalidKeys(nil, fmt.Sprintf("Bad permissions on keyfile [%s], 600 recommended.", file),
			fmt.Sprintf("others can read the key: chmod 600 %s", st.Name()))
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		hint := "The reason is: " + err.Error()
		if errors.Is(err, os.ErrNotExist) {
			hint = fmt.Sprintf("create %s with two lines, `auth 1` and `1 sha256 SECRET`, mode 600, the same on all nodes", file)
		}
		return nil, nil, invalidKeys(nil, fmt.Sprintf("Cannot open keyfile [%s].  Stop.", file), hint)
	}
	return ParseKeys(file, text)
}

func invalidKeys(before []Note, text, hint string) error {
	notes := append(before, Note{Error, text}, Note{Info, hint})
	return &Invalid{Notes: append(notes, authSummary...)}
}

// ParseKeys reads the text of authkeys; file is its name for messages.
func ParseKeys(file string, text []byte) (*hamsg.Keys, []Note, error) {
	keys, notes, err := parseKeys(file, text)
	if err != nil {
		return nil, nil, err
	}
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, nil, err
	}
	return keys, notes, keys.UseSalt(salt)
}

func parseKeys(file string, text []byte) (*hamsg.Keys, []Note, error) {
	keys := &hamsg.Keys{Send: -1, All: map[int]hamsg.Key{}}
	var notes []Note
	sendSeen := false // the auth line came before its key
	for i, raw := range strings.Split(string(text), "\n") {
		line, _, _ := strings.Cut(raw, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		at := func(hint string) string { return fmt.Sprintf("%s line %d: %s", file, i+1, hint) }
		if words[0] == "auth" {
			if len(words) < 2 || !digits(words[1]) {
				return nil, nil, invalidKeys(notes, fmt.Sprintf("Invalid auth line [%s\n] in %s", raw, file), at("write `auth NUMBER`"))
			}
			n, err := strconv.Atoi(words[1])
			if err != nil || n > 15 {
				return nil, nil, invalidKeys(notes, fmt.Sprintf("Invalid authnum [%s] in %s", words[1], file), at("numbers go from 0 to 15"))
			}
			keys.Send, sendSeen = n, false
			continue
		}
		if len(words) < 2 || !digits(words[0]) {
			return nil, nil, invalidKeys(notes, fmt.Sprintf("Auth line [%s\n] is invalid.", raw), at("write `NUMBER METHOD KEY`"))
		}
		n, err := strconv.Atoi(words[0])
		if err != nil || n > 15 {
			return nil, nil, invalidKeys(notes, fmt.Sprintf("Invalid authnum [%s] in %s", words[0], file), at("numbers go from 0 to 15"))
		}
		method := words[1]
		if !hamsg.KnownMethod(method) {
			return nil, nil, invalidKeys(append(notes,
				Note{Error, fmt.Sprintf("LoadPlugin on %s returned 5: No such plugin/interface/interface type", method)},
				Note{Error, fmt.Sprintf("Lookup extended#2 returned FALSE for %s", method)},
				Note{Error, "Table size: 0"}),
				fmt.Sprintf("Invalid authtype [%s]", method), at("methods are "+strings.Join(hamsg.Methods, ", ")))
		}
		key := hamsg.Key{Method: method}
		switch {
		case method == "crc" && len(words) > 2:
			notes = append(notes, Note{Info, fmt.Sprintf("Auth method [%s] doesn't use a key", method)})
		case method != "crc" && len(words) < 3:
			return nil, nil, invalidKeys(notes, fmt.Sprintf("Auth method [%s] requires a key", method), at("write `NUMBER METHOD KEY`"))
		case method != "crc":
			key.Secret = words[2]
		}
		keys.All[n] = key
		sendSeen = sendSeen || n == keys.Send
	}
	if keys.Send < 0 {
		return nil, nil, invalidKeys(notes, fmt.Sprintf("Missing auth directive in keyfile [%s]", file), "add `auth NUMBER` as the first line")
	}
	if !sendSeen {
		hint := fmt.Sprintf("add `%d METHOD KEY`", keys.Send)
		if _, ok := keys.All[keys.Send]; ok {
			hint = "move the auth line above the key that it names"
		}
		return nil, nil, invalidKeys(notes, fmt.Sprintf("Auth Key [%d] not found in keyfile [%s]", keys.Send, file), file+": "+hint)
	}
	return keys, notes, nil
}
