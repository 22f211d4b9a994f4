# Keeps one throw-away PostgreSQL cluster for as long as standard input stays open.
#
# usage: sh -c SCRIPT keeper DIRECTORY BINARIES SETTINGS [COMMAND THAT CHANGES THE USER...]
#
# The owner holds the other end of standard input. It closes when the owner closes it and also when
# the owner dies, by whatever signal; both end in the same clean-up. Since creation, start and
# clean-up are one sequence, there is no moment at which a dying owner leaves a cluster behind.
# Prints `ready`, or why not.
set -u
trap '' PIPE # an owner that died early must not stop the clean-up by not reading
directory=$1 binaries=$2 settings=$3
shift 3
data=$directory/data log=$directory/log

remove() {
    rm -rf -- "$directory"
}

refuse() {
    echo "$1 failed"
    tail -n 20 -- "$log"
    remove
    exit 1
}

"$@" mkdir -m 0700 -- "$directory" 2>&1 || exit 1
cd -- "$directory" || exit 1
"$@" "$binaries/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 \
    --locale=C --no-sync </dev/null >"$log" 2>&1 || refuse initdb
printf '%s\n' "$settings" >>"$data/postgresql.conf" || refuse 'writing postgresql.conf'
"$@" "$binaries/pg_ctl" start --pgdata="$data" --log="$directory/server.log" --wait --timeout=60 \
    --silent </dev/null >>"$log" 2>&1 || {
    cat -- "$directory/server.log" >>"$log"
    refuse 'pg_ctl start'
}
echo ready
cat >/dev/null
"$@" "$binaries/pg_ctl" stop --pgdata="$data" --mode=immediate --wait --silent </dev/null \
    >>"$log" 2>&1
cd /
remove
