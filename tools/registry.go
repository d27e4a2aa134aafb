package main

import (
	"linuxha/tools/apphbd"
	"linuxha/tools/attrdupdater"
	"linuxha/tools/cibadmin"
	"linuxha/tools/cibsecret"
	"linuxha/tools/clrespawn"
	"linuxha/tools/clstatus"
	"linuxha/tools/crmadmin"
	"linuxha/tools/crmattribute"
	"linuxha/tools/crmdiff"
	"linuxha/tools/crmerror"
	"linuxha/tools/crmmon"
	"linuxha/tools/crmnode"
	"linuxha/tools/crmresource"
	"linuxha/tools/crmrule"
	"linuxha/tools/crmshadow"
	"linuxha/tools/crmsimulate"
	"linuxha/tools/crmticket"
	"linuxha/tools/crmverify"
	"linuxha/tools/daemonnames"
	"linuxha/tools/halog"
	"linuxha/tools/hapropagate"
	"linuxha/tools/haresources"
	"linuxha/tools/hawire"
	"linuxha/tools/hbmessage"
	"linuxha/tools/hbnodes"
	"linuxha/tools/ipfail"
	"linuxha/tools/iso8601"
	"linuxha/tools/output"
	"linuxha/tools/pingd"
	"linuxha/tools/quorumd"
	"linuxha/tools/resourcemanager"
	"linuxha/tools/stonithadmin"
)

// registry maps every name that the program answers to. Keep it sorted.
var registry = map[string]Tool{
	"ResourceManager":      resourcemanager.Run,
	"apphbd":               apphbd.Run,
	"apphbtest":            apphbd.Test,
	"attrd_updater":        output.Formatted(attrdupdater.Run, "text", "xml"),
	"cibadmin":             cibadmin.Run,
	"cibsecret":            cibsecret.Run,
	"cl_respawn":           clrespawn.Run,
	"cl_status":            clstatus.Run,
	"crm_attribute":        output.Formatted(crmattribute.Run, "text", "xml"),
	"crm_diff":             crmdiff.Run,
	"crm_error":            output.Formatted(crmerror.Run, "text", "xml"),
	"crm_failcount":        crmattribute.Run,
	"crm_master":           crmattribute.Run,
	"crm_mon":              crmmon.Run,
	"crm_mon.cgi":          crmmon.Run,
	"crm_node":             crmnode.Run,
	"crm_resource":         output.Formatted(crmresource.Run, "text", "xml"),
	"crm_rule":             output.Formatted(crmrule.Run, "text", "xml"),
	"crm_shadow":           crmshadow.Run,
	"crm_simulate":         output.Formatted(crmsimulate.Run, "text", "xml"),
	"crm_standby":          crmattribute.Run,
	"crm_ticket":           crmticket.Run,
	"crm_verify":           output.Formatted(crmverify.Run, "text", "xml"),
	"crmadmin":             output.Formatted(crmadmin.Run, "text", "xml"),
	"ha_logd":              halog.Daemon,
	"ha_logger":            halog.Logger,
	"ha_propagate":         hapropagate.Run,
	"ha_quorumd":           quorumd.Run,
	"ha_wire":              hawire.Run,
	"haresources2cib":      haresources.Run,
	"hb_addnode":           hbnodes.Run,
	"hb_delnode":           hbnodes.Run,
	"hb_setsite":           hbnodes.Run,
	"hb_setweight":         hbnodes.Run,
	"hb_standby":           hbmessage.Run,
	"hb_takeover":          hbmessage.Run,
	"ipfail":               ipfail.Run,
	"iso8601":              iso8601.Run,
	"mach_down":            resourcemanager.MachDown,
	"meatclient":           clrespawn.Meatclient,
	"pacemaker-based":      daemonnames.Run,
	"pacemaker-controld":   daemonnames.Run,
	"pacemaker-fenced":     stonithadmin.Fenced,
	"pacemaker-schedulerd": daemonnames.Run,
	"pacemakerd":           daemonnames.Supervisor,
	"req_resource":         resourcemanager.ReqResource,
	"pingd":                pingd.Run,
	"stonith_admin":        output.Formatted(stonithadmin.Run, "text", "xml", "html"),
}
