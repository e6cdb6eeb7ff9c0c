# Encrypts with the primary key what an earlier one encrypted.
#
# credentials.sh apply | check
#
# check succeeds when there is no such credential. Keystone notes for each the digest
# of the key that encrypted it.
keys=@keys@
primary=$(ls "$keys" | sort -n | tail -n 1)
digest=$(sha1sum <"$keys/$primary" | cut -d ' ' -f 1)
used=$(@used@)
old=$(printf '%s\n' "$used" | grep -vxF -e "$digest" -e '' || true)
case $1 in
check) test -z "$old" ;;
apply) test -z "$old" || job ;;
esac
