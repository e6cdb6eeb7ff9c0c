package mariadb

import (
	"crypto/sha1" //nolint:gosec // the protocol's
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// accounts adds the services' databases and users, and the one of HAProxy's
// checks.
//
// Each is described twice in files of root's: by statements that make it, and by
// a question that the server answers with "done" when all is as it should be: the
// database, the hash of the password, the duty to use TLS, and the rights. So a
// password that was rotated, and anything that somebody took away, comes right by
// itself.
func accounts(b *stack.Builder) {
	b.Dir(path.Join(stack.ConfigDir(name), "sql"), "", "0700")
	account(b, "check user", checkUser, checkUserDone)
	var seen []stack.Database
	for _, s := range b.D.Services {
		for _, db := range s.Databases {
			if slices.Contains(seen, db) {
				continue
			}
			seen = append(seen, db)
			hash := nativeHash(b.D.Secrets.Password(stack.DatabaseSecret(db.User)))
			account(b, "database "+db.Name, create(db, hash), created(db, hash))
		}
	}
}

// account adds the command "mariadb WHAT" with its two files.
func account(b *stack.Builder, what, sql, done string) {
	file := strings.ReplaceAll(what, " ", "-")
	apply := b.Secret("sql/"+file+".sql", sql, "")
	check := b.Secret("sql/"+file+"-done.sql", done, "")
	client := stack.Inside(name, transport.Quote("mariadb", "--no-defaults", "--skip-ssl", "--socket="+stack.DatabaseSocket, "--batch", "--skip-column-names"))
	b.Add(configset.Item{
		Resource: &command.Resource{
			Name:   "mariadb " + what,
			Script: patiently(client + " <" + apply),
			Unless: fmt.Sprintf(`test "$(%s <%s)" = done`, client, check),
		},
		Phase: engine.Start, Needs: []string{"container:" + name}, Triggers: []string{"file:" + apply, "file:" + check},
	})
}

// nativeHash is what the server keeps of a password.
//
// Source: MariaDB's documentation, "Authentication Plugin - mysql_native_password".
// PyMySQL knows no newer plugin without modules that distributions leave out; the
// hash of a long random password is not for guessing, and what goes over the wire
// goes over TLS.
func nativeHash(password string) string {
	first := sha1.Sum([]byte(password)) //nolint:gosec // the protocol's
	second := sha1.Sum(first[:])        //nolint:gosec // the protocol's
	return "*" + strings.ToUpper(hex.EncodeToString(second[:]))
}

// create makes a database and its user. Names come from the services' own
// packages, hashes are hexadecimal.
func create(db stack.Database, hash string) string {
	return fmt.Sprintf("CREATE DATABASE IF NOT EXISTS `%[1]s` CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci;\n"+
		"CREATE USER IF NOT EXISTS '%[2]s'@'%%';\n"+
		"ALTER USER '%[2]s'@'%%' IDENTIFIED VIA mysql_native_password USING '%[3]s' REQUIRE SSL;\n"+
		"GRANT ALL PRIVILEGES ON `%[1]s`.* TO '%[2]s'@'%%';\n", db.Name, db.User, hash)
}

// created asks whether all of create is there. How many rights on a database there
// are depends on the server's release: as many as mysql.db has columns for, less
// the right to grant them to others.
func created(db stack.Database, hash string) string {
	return fmt.Sprintf(`SELECT IF(
	(SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '%[1]s')
	AND (SELECT COUNT(*) FROM mysql.global_priv WHERE User = '%[2]s' AND Host = '%%'
		AND JSON_VALUE(Priv, '$.plugin') = 'mysql_native_password'
		AND JSON_VALUE(Priv, '$.authentication_string') = '%[3]s'
		AND JSON_VALUE(Priv, '$.ssl_type') = 1)
	AND (SELECT COUNT(*) FROM information_schema.SCHEMA_PRIVILEGES
		WHERE GRANTEE = '''%[2]s''@''%%''' AND TABLE_SCHEMA = '%[1]s') =
		(SELECT COUNT(*) - 1 FROM information_schema.COLUMNS
		WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'db' AND COLUMN_NAME LIKE '%%\_priv'),
	'done', 'not yet');
`, db.Name, db.User, hash)
}

// checkUser makes the user of HAProxy's checks, which does not speak TLS.
const checkUser = "CREATE USER IF NOT EXISTS '" + CheckUser + "'@'%';\n" +
	"ALTER USER '" + CheckUser + "'@'%' IDENTIFIED VIA mysql_native_password USING '' REQUIRE NONE;\n"

const checkUserDone = "SELECT IF(COUNT(*), 'done', 'not yet') FROM mysql.global_priv WHERE User = '" + CheckUser + "' AND Host = '%'\n" +
	"AND JSON_VALUE(Priv, '$.plugin') = 'mysql_native_password' AND JSON_VALUE(Priv, '$.authentication_string') = '';\n"
