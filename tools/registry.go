package main

import (
	"linuxha/tools/cibadmin"
	"linuxha/tools/clstatus"
	"linuxha/tools/crmadmin"
	"linuxha/tools/crmmon"
	"linuxha/tools/crmnode"
	"linuxha/tools/crmresource"
	"linuxha/tools/crmsimulate"
	"linuxha/tools/crmverify"
	"linuxha/tools/hawire"
	"linuxha/tools/stonithadmin"
)

// registry maps every name that the program answers to. Keep it sorted.
var registry = map[string]Tool{
	"cibadmin":      cibadmin.Run,
	"cl_status":     clstatus.Run,
	"crm_mon":       crmmon.Run,
	"crm_node":      crmnode.Run,
	"crm_resource":  crmresource.Run,
	"crm_simulate":  crmsimulate.Run,
	"crm_verify":    crmverify.Run,
	"ha_wire":       hawire.Run,
	"crmadmin":      crmadmin.Run,
	"stonith_admin": stonithadmin.Run,
}
