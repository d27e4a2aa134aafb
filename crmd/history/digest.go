package history

import (
	"crypto/md5"
	"encoding/hex"
	"sort"
	"strconv"
	"strings"
)

// Digest is the MD5 over the parameters of a request (scheduler-1 11.1).
func Digest(params map[string]string) string {
	return digest(filter(params))
}

// digest hashes a set as it is.
func digest(set map[string]string) string {
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString(" <parameters")
	for _, n := range names {
		b.WriteString(" " + n + `="` + escape(set[n]) + `"`)
	}
	b.WriteString("/>\n")
	sum := md5.Sum([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// filter drops what is no parameter of the agent.
func filter(params map[string]string) map[string]string {
	set := map[string]string{}
	for n, v := range params {
		switch n {
		case "id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip":
			continue
		}
		if !strings.HasPrefix(n, "CRM_meta_") {
			set[n] = v
		}
	}
	if ms, err := strconv.Atoi(params["CRM_meta_interval"]); err == nil && ms != 0 {
		if t, ok := params["CRM_meta_timeout"]; ok {
			set["CRM_meta_timeout"] = t
		}
	}
	return set
}

// escape is the reference's own escaping of attribute values, which gives up at
// the first two consecutive bytes that are not ASCII (scheduler-1 11.1).
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if ch >= 0x80 && i+1 < len(s) && s[i+1] >= 0x80 {
			b.WriteString(s[i:])
			break
		}
		switch {
		case ch == '<':
			b.WriteString("&lt;")
		case ch == '>':
			b.WriteString("&gt;")
		case ch == '&':
			b.WriteString("&amp;")
		case ch == '"':
			b.WriteString("&quot;")
		case ch == '\'':
			b.WriteString("&apos;")
		case ch == '\t':
			b.WriteString("    ")
		case ch == '\n':
			b.WriteString(`\n`)
		case ch == '\r':
			b.WriteString(`\r`)
		case ch < ' ' || ch > '~':
			b.WriteString(`\` + string([]byte{'0' + ch>>6, '0' + ch>>3&7, '0' + ch&7}))
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}
