# What the device is and how it is doing, one "key=value" a line; what it does not tell is left out. Plain sh, no arguments.
say() { [ -n "$2" ] && printf '%s=%s\n' "$1" "$2"; }
first() { [ -r "$1" ] && head -n 1 "$1" 2>/dev/null | tr -d '\000'; }
say machine "$(uname -m)"
say system "$(uname -sr)"
say board "$(first /proc/device-tree/model)"
if command -v getprop >/dev/null 2>&1; then
    say board "$(getprop ro.product.manufacturer) $(getprop ro.product.model)"
    say soc "$(getprop ro.soc.model)"
    say abi "$(getprop ro.product.cpu.abi)"
fi
say name "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
sed -n 's/^CPU implementer[[:space:]]*: /implementer=/p; s/^CPU part[[:space:]]*: /part=/p; s/^processor[[:space:]]*: /processor=/p' \
    /proc/cpuinfo 2>/dev/null
say memory_kb "$(sed -n 's/^MemTotal:[[:space:]]*\([0-9]*\).*/\1/p' /proc/meminfo 2>/dev/null)"
say load "$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null)"
for folder in /sys/devices/system/cpu/cpu[0-9]*; do
    cpu=${folder##*/}
    say "governor.$cpu" "$(first "$folder/cpufreq/scaling_governor")"
    say "khz.$cpu" "$(first "$folder/cpufreq/scaling_cur_freq")"
    say "most_khz.$cpu" "$(first "$folder/cpufreq/cpuinfo_max_freq")"
    say "allowed_khz.$cpu" "$(first "$folder/cpufreq/scaling_max_freq")"
done
for folder in /sys/class/thermal/thermal_zone[0-9]*; do
    value=$(first "$folder/temp")
    case $value in '' | *[!0-9]*) continue ;; esac
    say "temperature.$(first "$folder/type" | tr -c 'A-Za-z0-9_.\n-' '_')" "$value"
done
for path in /sys/devices/platform/soc/soc:firmware/get_throttled /sys/devices/platform/soc/soc?firmware/get_throttled; do
    [ -r "$path" ] && say throttled "0x$(first "$path")" && break
done
if command -v vcgencmd >/dev/null 2>&1; then
    say throttled "$(vcgencmd get_throttled 2>/dev/null | sed -n 's/^throttled=//p')"
fi
exit 0
