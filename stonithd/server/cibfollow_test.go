package server

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
)

// large is a configuration with fencing and so many other resources, each with
// a constraint.
func large(t testing.TB, others int) *cibdoc.Doc {
	t.Helper()
	var resources, constraints strings.Builder
	for i := range others {
		fmt.Fprintf(&resources, `<primitive id="r%d" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="r%[1]d-i"><nvpair id="r%[1]d-x" name="x" value="0"/></instance_attributes></primitive>`, i)
		fmt.Fprintf(&constraints, `<rsc_location id="l%d" rsc="r%[1]d" node="a" score="1"/>`, i)
	}
	doc, err := cibdoc.Parse([]byte(`<cib><configuration>
<crm_config><cluster_property_set id="p"><nvpair id="sym" name="symmetric-cluster" value="true"/><nvpair id="dog" name="stonith-watchdog-timeout" value="0"/><nvpair id="any" name="x" value="0"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"><instance_attributes id="na"><nvpair id="rack" name="rack" value="7"/></instance_attributes></node></nodes>
<resources>
<template id="t" class="stonith" type="fence_test"/>` + resources.String() + `
<group id="g"><meta_attributes id="gm"><nvpair id="gm-r" name="target-role" value="Started"/></meta_attributes>
<primitive id="st" class="stonith" type="fence_test"><instance_attributes id="si"><nvpair id="ip" name="ip" value="1"/></instance_attributes></primitive></group>
<primitive id="st2" template="t"/>
</resources>
<constraints>` + constraints.String() + `<rsc_location id="where" rsc="g" node="b" score="-INFINITY"/></constraints>
<fencing-topology><fencing-level id="f" index="1" target="b" devices="st"/></fencing-topology>
</configuration><status/></cib>`))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// setValue changes an attribute of the element with that id.
func setValue(doc *cibdoc.Doc, id, name, value string) *cibdoc.Doc {
	e := doc.Edit()
	doc.Root().Walk(func(p cibdoc.Path, n *cibdoc.Node) bool {
		if n.ID() == id {
			e.Own(p).SetAttr(name, value)
		}
		return true
	})
	return e.Doc()
}

// TestFollowedConfiguration: reading only what changed gives what reading
// everything gives, whatever changes.
func TestFollowedConfiguration(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		doc := large(t, 5)
		c := &cibReader{node: "a", effective: seconds}
		have, err := c.read(doc)
		if err != nil {
			t.Fatal(err)
		}
		skipped := 0
		for range 200 {
			next, what := mutated(rnd, doc)
			conf, changed, err := c.follow(cibclient.Step{Old: doc, New: next})
			if err != nil {
				t.Fatal(err)
			}
			if changed {
				have = conf
			} else {
				skipped++
			}
			want, err := (&cibReader{node: "a", effective: seconds}).read(next)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(have, want) {
				t.Fatalf("seed %d: after %s (read: %t)\nhave %+v\nwant %+v\nfrom %s", seed, what, changed, have, want, next.Bytes())
			}
			doc = next
		}
		if skipped == 0 {
			t.Error("every change was read")
		}
	}
}

// mutated changes something, and says what.
func mutated(rnd *rand.Rand, doc *cibdoc.Doc) (*cibdoc.Doc, string) {
	pick := func(texts ...string) string { return texts[rnd.IntN(len(texts))] }
	n := fmt.Sprint(rnd.IntN(5))
	set := func(id, name, value string) (*cibdoc.Doc, string) {
		return setValue(doc, id, name, value), id + " " + name + "=" + value
	}
	switch rnd.IntN(12) {
	case 0:
		return set("r"+n+"-x", "value", fmt.Sprint(rnd.Int()))
	case 1:
		return set("sym", "value", pick("true", "false"))
	case 2:
		return set("dog", "value", pick("0", "10"))
	case 3:
		return set("any", "value", fmt.Sprint(rnd.Int()))
	case 4:
		return set("rack", "value", n)
	case 5:
		return set("gm-r", "value", pick("Started", "Stopped"))
	case 6:
		return set("ip", "value", n)
	case 7:
		return set(pick("t", "st", "r1"), "class", pick("stonith", "ocf"))
	case 8:
		return set(pick("where", "l1"), "rsc", pick("g", "st2", "r1"))
	case 9:
		return set("where", "node", pick("a", "b"))
	case 10:
		return set("f", "index", fmt.Sprint(1+rnd.IntN(9)))
	}
	// Add, remove or move a child of a section.
	section := pick("resources", "constraints", "rsc_defaults")
	e := doc.Edit()
	p, there := cibdoc.SectionPath(doc.Root(), section)
	if !there {
		e.Own(p).Add(cibdoc.E(section))
		p = append(p, len(e.Own(p).Children)-1)
	}
	at := e.Own(p)
	id := fmt.Sprintf("n%d", rnd.Int())
	switch k := rnd.IntN(3); {
	case k == 0 && len(at.Children) > 8:
		at.RemoveAt(rnd.IntN(len(at.Children)))
		return e.Doc(), "removal from " + section
	case k == 1 && len(at.Children) > 1:
		i := rnd.IntN(len(at.Children))
		c := at.Children[i]
		at.RemoveAt(i)
		at.Insert(rnd.IntN(len(at.Children)+1), c)
		return e.Doc(), "move in " + section
	}
	var child *cibdoc.Node
	switch section {
	case "resources":
		child = cibdoc.E("primitive", "id", pick(id, "watchdog"), "class", pick("stonith", "ocf"), "type", pick("fence_test", "fence_watchdog"))
		if rnd.IntN(3) == 0 {
			child = cibdoc.E("primitive", "id", id, "template", "t")
		}
		if rnd.IntN(2) == 0 {
			child = cibdoc.E("clone", "id", id+"-clone").Add(child)
		}
		child.Add(cibdoc.E("meta_attributes", "id", id+"-m").Add(cibdoc.E("nvpair", "id", id+"-r", "name", "target-role", "value", pick("Started", "Stopped"))))
		if rnd.IntN(4) == 0 {
			child.Add(cibdoc.E("meta_attributes", "id-ref", "gm"))
		}
	case "constraints":
		child = cibdoc.E("rsc_location", "id", id, pick("rsc", "rsc-pattern"), pick("st", "st2", "r"+n), "node", pick("a", "b"), "score", pick("10", "-10", "-INFINITY"))
	default:
		child = cibdoc.E("meta_attributes", "id", id).Add(cibdoc.E("nvpair", "id", id+"-r", "name", "target-role", "value", pick("Started", "Stopped")))
	}
	at.Insert(rnd.IntN(len(at.Children)+1), child)
	return e.Doc(), "insertion of " + string(child.Bytes())
}

// TestOtherResourcesAreNotRead: changes of what is no fencing device cost no
// reading of the resources, and no new registration of devices.
func TestOtherResourcesAreNotRead(t *testing.T) {
	doc := large(t, 50)
	c := &cibReader{node: "a", effective: seconds}
	if _, err := c.read(doc); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		next := setValue(doc, fmt.Sprintf("r%d-x", i%50), "value", fmt.Sprint(i+1))
		next = setValue(next, "any", "value", fmt.Sprint(i+1))
		next = setValue(next, "l3", "score", fmt.Sprint(i+2))
		if _, changed, err := c.follow(cibclient.Step{Old: doc, New: next}); changed || err != nil {
			t.Fatalf("update %d: changed=%t, %v", i, changed, err)
		}
		doc = next
	}
	if c.scans != 1 {
		t.Errorf("the resources were read %d times", c.scans)
	}
	next := setValue(doc, "ip", "value", "2")
	conf, changed, err := c.follow(cibclient.Step{Old: doc, New: next})
	if err != nil || !changed || c.scans != 2 || len(conf.Devices) == 0 || conf.Devices[0].Params["ip"] != "2" {
		t.Errorf("changed=%t, %v, %d scans, %+v", changed, err, c.scans, conf.Devices)
	}
}

func BenchmarkChange(b *testing.B) {
	for _, others := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			docs := []*cibdoc.Doc{large(b, others)}
			docs = append(docs, setValue(docs[0], "r3-x", "value", "1"))
			c := &cibReader{node: "a", effective: seconds}
			if _, err := c.read(docs[0]); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := range b.N {
				if _, changed, err := c.follow(cibclient.Step{Old: docs[i%2], New: docs[(i+1)%2]}); changed || err != nil {
					b.Fatal(changed, err)
				}
			}
		})
	}
}
