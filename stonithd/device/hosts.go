package device

import "strings"

// ParseHostMap reads pcmk_host_map: `name:port` or `name=port` pairs separated
// by `;`, space or tab; a backslash makes the next character literal
// (execution 34.3). Keys come back in lower case; a repeated key keeps the
// last. ports lists the port names in the order written.
func ParseHostMap(text string) (m map[string]string, ports []string) {
	m = map[string]string{}
	var name, cur strings.Builder
	inPort := false
	flush := func() {
		if inPort && name.Len() > 0 && cur.Len() > 0 {
			m[strings.ToLower(name.String())] = cur.String()
			ports = append(ports, cur.String())
		}
		name.Reset()
		cur.Reset()
		inPort = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			cur.WriteByte(text[i])
		case (c == ':' || c == '=') && !inPort:
			name.WriteString(cur.String())
			cur.Reset()
			inPort = true
		case c == ';' || c == ' ' || c == '\t' || c == '\n':
			flush()
		default:
			cur.WriteByte(c)
		}
	}
	flush()
	return m, ports
}

// ParseTargets reads pcmk_host_list and the output of the agents' list action
// (execution 34.4).
func ParseTargets(text string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, `\n`, "\n"), "\n") {
		if strings.Contains(line, "invalid") || strings.Contains(line, "variable") {
			continue
		}
		for _, entry := range strings.FieldsFunc(line, separator) {
			n := 0
			for n < len(entry) && nameByte(entry[n]) {
				n++
			}
			name := entry[:n]
			if name == "" || strings.EqualFold(name, "on") || strings.EqualFold(name, "off") {
				continue
			}
			out = append(out, name)
		}
	}
	return out
}

func separator(r rune) bool {
	return r == ',' || r == ';' || r == ' ' || r >= '\t' && r <= '\r'
}

func nameByte(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}
