# Makes a folder for this session and says where; when standard input ends (the connection is gone, however) or after $2 seconds,
# it ends what was started there and removes the folder. $1: where to make it. Folders of earlier sessions whose keeper was killed
# (a reboot, an out-of-memory kill) go first.
umask 077
trap '' HUP INT PIPE
for old in "$1"/edgekit.??????????; do
    [ -O "$old" ] && [ -d "$old" ] && [ ! -h "$old" ] && [ -r "$old/keeper.id" ] || continue
    kill -0 "$(cat "$old/keeper.id")" 2>/dev/null || rm -rf "$old"
done
folder=$(mktemp -d "$1/edgekit.XXXXXXXXXX") || exit 1
echo $$ >"$folder/keeper.id"
exec 3<&0
cat <&3 >/dev/null 2>&1 &
reader=$!
(
    exec 3<&- >/dev/null 2>&1
    sleep "$2" &
    sleeper=$!
    trap 'kill $sleeper; exit' TERM
    wait $sleeper
    kill $reader
) >/dev/null 2>&1 &
watch=$!
end() {
    kill $reader $watch 2>/dev/null
    for id in "$folder"/*.pid; do
        [ -r "$id" ] && kill -KILL "$(cat "$id")" 2>/dev/null
    done
    rm -rf "$folder"
    exit 0
}
trap end TERM
printf 'folder=%s\n' "$folder"
wait $reader
end
