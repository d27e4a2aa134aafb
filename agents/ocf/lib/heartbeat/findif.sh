# Finding the interface that an address belongs on, by the routing table.
# Reads OCF_RESKEY_ip, _nic, _cidr_netmask and _broadcast.
# Sourced by IPaddr2 and IPsrcaddr.

# ipcheck_ipv4 ADDRESS
ipcheck_ipv4() {
	case "$1" in "" | *[!0-9.]* | .* | *. | *..*) return 1 ;; esac
	_rest="$1." _parts=0
	while [ -n "$_rest" ]; do
		_part=${_rest%%.*} _rest=${_rest#*.}
		[ "${#_part}" -le 3 ] && [ "$_part" -le 255 ] || return 1
		_parts=$((_parts + 1))
	done
	[ $_parts -eq 4 ]
}

# ipcheck_ipv6 ADDRESS
ipcheck_ipv6() {
	case "$1" in
	*[!0-9a-fA-F:.]* | *:::* | *::*::*) return 1 ;;
	*:*:*) return 0 ;;
	esac
	return 1
}

# ifcheck NIC
ifcheck() { $IP2UTIL link show dev "$1" >/dev/null 2>&1; }

# prefixcheck BITS FAMILY
prefixcheck() {
	case "$1" in "" | *[!0-9]* | ????*) return 1 ;; esac
	if [ "$2" = inet6 ]; then [ "$1" -le 128 ]; else [ "$1" -le 32 ]; fi
}

# maybe_convert_dotted_quad_to_cidr MASK: sets netmask to its number of bits; a
# mask that is no dotted quad is taken as it is.
maybe_convert_dotted_quad_to_cidr() {
	netmask="$1"
	ipcheck_ipv4 "$1" || return 0
	_bits=0 _rest="$1." _ended=
	while [ -n "$_rest" ]; do
		_part=${_rest%%.*} _rest=${_rest#*.}
		case "$_ended$_part" in
		255) _bits=$((_bits + 8)) ;;
		254) _bits=$((_bits + 7)) _ended=x ;;
		252) _bits=$((_bits + 6)) _ended=x ;;
		248) _bits=$((_bits + 5)) _ended=x ;;
		240) _bits=$((_bits + 4)) _ended=x ;;
		224) _bits=$((_bits + 3)) _ended=x ;;
		192) _bits=$((_bits + 2)) _ended=x ;;
		128) _bits=$((_bits + 1)) _ended=x ;;
		0 | x0) _ended=x ;;
		*) return 0 ;; # no mask: the check that follows refuses it
		esac
	done
	netmask=$_bits
}

# _findif_broadcast ADDRESS BITS: the last address of the network.
_findif_broadcast() {
	_a=${1%%.*} _r=${1#*.}
	_b=${_r%%.*} _r=${_r#*.}
	_c=${_r%%.*} _d=${_r#*.}
	_n=$(((_a << 24 | _b << 16 | _c << 8 | _d) | ((1 << (32 - $2)) - 1)))
	echo "$((_n >> 24 & 255)).$((_n >> 16 & 255)).$((_n >> 8 & 255)).$((_n & 255))"
}

# findif_check_params FAMILY: 0, or 6 with the reason. Only a start must insist:
# a stop gets rid of what is there, whatever the parameters say now.
findif_check_params() {
	case "$__OCF_ACTION" in start | validate-all) ;; *) return "$OCF_SUCCESS" ;; esac
	if [ "$1" = inet6 ]; then
		ipcheck_ipv6 "$OCF_RESKEY_ip" || {
			ocf_exit_reason "IP address [$OCF_RESKEY_ip] not valid."
			return "$OCF_ERR_CONFIGURED"
		}
	else
		ipcheck_ipv4 "$OCF_RESKEY_ip" || {
			ocf_exit_reason "IP address [$OCF_RESKEY_ip] not valid."
			return "$OCF_ERR_CONFIGURED"
		}
	fi
	if [ -n "$OCF_RESKEY_nic" ] && ! ifcheck "${OCF_RESKEY_nic%%:*}"; then
		ocf_exit_reason "Unknown interface [$OCF_RESKEY_nic] No such device."
		return "$OCF_ERR_CONFIGURED"
	fi
	if [ -n "$OCF_RESKEY_cidr_netmask" ]; then
		maybe_convert_dotted_quad_to_cidr "$OCF_RESKEY_cidr_netmask"
		prefixcheck "$netmask" "$1" || {
			ocf_exit_reason "Invalid netmask specification [$OCF_RESKEY_cidr_netmask]"
			return "$OCF_ERR_CONFIGURED"
		}
	fi
	if [ -n "$OCF_RESKEY_broadcast" ] && [ "$1" = inet ] && ! ipcheck_ipv4 "$OCF_RESKEY_broadcast"; then
		ocf_exit_reason "Invalid broadcast address [$OCF_RESKEY_broadcast]."
		return "$OCF_ERR_CONFIGURED"
	fi
	return "$OCF_SUCCESS"
}

# getnetworkinfo FAMILY ADDRESS [NIC]: "NIC NETWORK/BITS" of the networks that
# hold the address, the smallest first.
getnetworkinfo() {
	_scope=
	[ "$1" = inet ] && _scope="scope link"
	# shellcheck disable=SC2086
	$IP2UTIL -o -f "$1" route list match "$2" ${3:+dev "$3"} $_scope 2>/dev/null |
		"$AWK" -v nic="$3" '
			$1 == "default" || $1 == "unreachable" || $1 == "blackhole" { next }
			{
				dev = nic
				for (i = 1; i < NF; i++) if ($i == "dev") dev = $(i + 1)
				if ($1 ~ /^fe80:/ && nic == "") next
				if (split($1, n, "/") < 2) next # a host route
				if (dev != "") print n[2], dev, $1
			}' | sort -k1,1nr | sed 's/^[0-9]* //'
}

# findif: print "NIC netmask BITS broadcast ADDRESS".
findif() {
	case "$OCF_RESKEY_ip" in *:*) _family=inet6 ;; *) _family=inet ;; esac
	findif_check_params $_family || return $?
	nic="${OCF_RESKEY_nic%%:*}"
	netmask=
	maybe_convert_dotted_quad_to_cidr "$OCF_RESKEY_cidr_netmask"
	_best=$(getnetworkinfo $_family "$OCF_RESKEY_ip" "$nic" | head -n 1)
	if [ -n "$_best" ]; then
		: "${nic:=${_best%% *}}"
		: "${netmask:=${_best##*/}}"
	fi
	if [ -z "$nic" ]; then
		ocf_log err "Unable to find nic or netmask."
		return "$OCF_ERR_GENERIC"
	fi
	if [ -z "$netmask" ]; then
		ocf_exit_reason "No netmask: no network of $nic holds $OCF_RESKEY_ip, so set cidr_netmask"
		return "$OCF_ERR_GENERIC"
	fi
	_brd="$OCF_RESKEY_broadcast"
	if [ -z "$_brd" ] && [ $_family = inet ]; then
		_brd=$(_findif_broadcast "$OCF_RESKEY_ip" "$netmask")
	fi
	echo "$nic netmask $netmask broadcast $_brd"
}
