# Makes, once, what the servers and the program are given: an authority, keys, certificates, passwords, and a file of variables. What is there stays as it is.
set -eu
umask 077
# All that is not for a server alone belongs to whom this folder's parent belongs to.
owner=$(stat -c %u:%g /project)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd /prepared
chown "$owner" . && chmod 0700 .

# Files what comes in: as $1, for $2 alone, as a whole or not at all.
file() {
    cat >"$1.new"
    chmod "${3:-0400}" "$1.new" && chown "$2" "$1.new" && mv "$1.new" "$1"
    echo "made $1"
}

# The same, unless it is there and says so already.
refile() {
    cat >"$work/refiled"
    cmp -s "$work/refiled" "$1" || file "$1" "$2" <"$work/refiled"
}

# Runs it, and says what it said where it fails.
quietly() {
    "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
}

[ -e .gitignore ] || echo '*' | file .gitignore "$owner" 0600

if ! [ -s authority.key ] || ! [ -s ca.pem ]; then
    cat >"$work/authority.cnf" <<'END'
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
CN = a developer's private authority
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
    quietly openssl req -x509 -config "$work/authority.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -keyout "$work/authority.key" -out "$work/ca.pem"
    file authority.key "$owner" <"$work/authority.key"
    file ca.pem "$owner" <"$work/ca.pem"
fi

mkdir -p program
# Each line is a server: its name, whom its files are for, the beginning of its variables, and whether it has an administrator.
while read -r name account variables administrator; do
    mkdir -p "$name"
    # One that another authority has issued, or that ends within 30 days, is none.
    if ! openssl verify -CAfile ca.pem "$name/certificate.pem" >/dev/null 2>&1 ||
        ! openssl x509 -in "$name/certificate.pem" -noout -checkend 2592000 >/dev/null 2>&1; then
        cat >"$work/server.cnf" <<END
[req]
prompt = no
distinguished_name = name
[name]
CN = $name
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:$name, DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
        quietly openssl req -new -config "$work/server.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
            -keyout "$work/key.pem" -out "$work/request.pem"
        quietly openssl x509 -req -in "$work/request.pem" -CA ca.pem -CAkey authority.key -set_serial "0x$(openssl rand -hex 16)" -days 365 -sha256 \
            -extfile "$work/server.cnf" -extensions server -out "$work/certificate.pem"
        file "$name/key.pem" "$account" <"$work/key.pem"
        file "$name/certificate.pem" "$account" <"$work/certificate.pem"
    fi
    refile "$name/ca.pem" "$account" <ca.pem
    [ -s "$name/password" ] || openssl rand -hex 24 | file "$name/password" "$account"
    [ "$administrator" = no ] || [ -s "$name/admin-password" ] || openssl rand -hex 24 | file "$name/admin-password" "$account"
    chown "$account" "$name" && chmod 0700 "$name"
    refile "program/${variables}_PASSWORD" "$owner" <"$name/password"
    refile "program/${variables}_CA" "$owner" <ca.pem
done </prepare/servers
chown "$owner" program && chmod 0700 program

# A path that a file of variables can hold.
case $FOLDER in
*\'*) echo "the folder's path has an apostrophe in it, which a file of variables cannot hold: $FOLDER" >&2 && exit 1 ;;
*[!A-Za-z0-9_./,:@%+=-]*) authority="'$FOLDER/ca.pem'" ;;
*) authority=$FOLDER/ca.pem ;;
esac

# The file of variables has a paragraph for each field. Missing paragraphs are added to it; a paragraph that was changed or commented out stays.
[ ! -e env ] || cat env >"$work/env"
paragraph='' is_new=$([ -e env ] && echo no || echo yes)
while IFS= read -r line; do
    if [ -z "$line" ]; then
        [ $is_new = no ] || printf %s "$paragraph" >>"$work/env"
        paragraph='' is_new=yes
    fi
    bare=${line#\# }
    variable=${bare%%=*}
    case $variable in
    "$bare" | *[!A-Z0-9_]*) ;;
    *)
        [ ! -e env ] || ! grep -Eq "^(# ?)?$variable=" env || is_new=no
        case $line in
        "$variable=__PASSWORD__") [ ! -e "program/$variable" ] || line=$variable=$(cat "program/$variable") ;;
        "$variable=__FOLDER__/ca.pem") line=$variable=$authority ;;
        esac
        ;;
    esac
    paragraph="$paragraph$line
"
done </prepare/env
[ $is_new = no ] || printf %s "$paragraph" >>"$work/env"
cmp -s "$work/env" env || file env "$owner" 0600 <"$work/env"
