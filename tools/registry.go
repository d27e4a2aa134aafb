package main

import (
	"linuxha/tools/crmadmin"
	"linuxha/tools/crmnode"
)

// registry maps every name that the program answers to. Keep it sorted.
var registry = map[string]Tool{
	"crm_node": crmnode.Run,
	"crmadmin": crmadmin.Run,
}
