package keystone

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/keystone/keyring"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// The repositories, by what Keystone calls them.
const (
	tokens      = "fernet"
	credentials = "credential"
)

// How long keys are in use. Tokens live for hours, so a day is short enough for who
// may have got hold of a key, and few keys are tried for each token. Credentials stay
// until they are deleted; each rotation encrypts all of them anew.
const (
	tokenPeriod      = 24 * time.Hour
	credentialPeriod = 90 * 24 * time.Hour
	// credentialKeep is how long a cloud may have stood still, in which nothing was
	// encrypted anew.
	credentialKeep = 3 * 365 * 24 * time.Hour
)

// Keystone's own settings of tokens, in seconds: how long one is valid, and how much
// longer for a service that goes on with a user's work (allow_expired_window).
//
// Source: Keystone's configuration reference, section "token".
const (
	defaultExpiration = 3600
	defaultWindow     = 48 * 3600
)

// keyDir is where a repository of keys lies, on hosts and in containers. Keys are
// data: updraft does not know them, so it could not take them out of a bundle of logs
// and configuration.
func keyDir(repository string) string {
	return path.Join(stack.DataDir(name), repository+"-keys")
}

// repository is one of the two. A token must be readable for as long as it may be
// used, whatever the user has made of the settings.
func repository(d *stack.Deployment, which string) keyring.Repository {
	masters := d.Secrets.FernetKeys(name + "-" + which)
	r := keyring.Repository{Name: name + "-" + which, Dir: keyDir(which), Group: d.Release.UID(name)}
	for _, n := range slices.Sorted(maps.Keys(masters)) {
		r.Masters = append(r.Masters, masters[n])
	}
	if which == credentials {
		r.Period, r.Keep = seconds(credentialPeriod), seconds(credentialKeep)
		return r
	}
	set := stack.Overridden(d, name, "token")
	r.Period, r.Keep = seconds(tokenPeriod), number(set["expiration"], defaultExpiration)+number(set["allow_expired_window"], defaultWindow)
	return r
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// number is a setting of the user's, which was checked elsewhere.
func number(raw json.RawMessage, otherwise int64) int64 {
	var n int64
	if json.Unmarshal(raw, &n) != nil || n < 0 {
		return otherwise
	}
	return n
}

// keyProgram is updraft-keys on a host.
const keyProgram = stack.ProgramDir + "/updraft-keys"

// Units of systemd. The one of the keys runs before each start of Keystone, and by
// its timer.
const (
	keysUnit        = "updraft-keystone-keys.service"
	keysTimer       = "updraft-keystone-keys.timer"
	credentialsUnit = "updraft-keystone-credentials.service"
)

var (
	//go:embed updraft-keystone-keys.service
	keysUnitText string
	//go:embed updraft-keystone-keys.timer
	keysTimerText string
	//go:embed updraft-keystone-credentials.service
	credentialsUnitText string
	//go:embed credentials.sh
	credentialsScript string
)

// keysJob is the command that brings keys up to date when updraft comes by.
const keysJob = "keystone keys"

// keys adds what keeps a controller's keys as the time wants them, and returns
// references to what Keystone needs of it.
func keys(b *stack.Builder) []string {
	d := b.D
	var config keyring.Config
	var needs []string
	b.Dir(stack.DataDir(name), "", "0755")
	for _, which := range []string{tokens, credentials} {
		r := repository(d, which)
		config.Repositories = append(config.Repositories, r)
		b.Add(configset.Item{Phase: engine.Configure, Resource: &directory.Resource{
			Path: r.Dir, Mode: "0750", Owner: "root", Group: fmt.Sprint(r.Group), Disposable: true,
		}})
		needs = append(needs, "directory:"+r.Dir)
	}
	program := b.Program(keyProgram, d.KeysProgram)
	masters := b.Secret("keys.json", config.Encode(), "root")
	needs = append(needs, "file:"+program, "file:"+masters)
	b.Triggered(command.Resource{
		Name: keysJob, Run: []string{program, "apply", masters}, Unless: transport.Quote(program, "check", masters) + " 2>/dev/null",
	}, engine.Configure, needs, "file:"+program, "file:"+masters)
	unitText := strings.NewReplacer("@program@", program, "@config@", masters, "@credentials@", credentialsUnit).Replace(keysUnitText)
	yes := true
	b.Add(configset.Item{Phase: engine.Configure, Needs: needs, Resource: &unit.Resource{
		Name: keysUnit, Content: stack.Header + unitText, Enabled: &yes,
	}})
	b.Add(configset.Item{Phase: engine.Start, Needs: []string{"unit:" + keysUnit}, Resource: &unit.Resource{
		Name: keysTimer, Content: stack.Header + keysTimerText, Enabled: &yes, State: unit.Started,
	}})
	return []string{"command:" + keysJob, "unit:" + keysUnit}
}

// reencrypt adds what encrypts credentials anew after a rotation: a unit for the
// controller that has the virtual address at that time, and a job for when updraft
// has brought other master keys to all.
func reencrypt(b *stack.Builder, conf stack.Oslo, schema string) {
	job := stack.Job{
		Name: "keystone credentials", Image: "openstack", User: name, Run: []string{"keystone-manage", "credential_migrate"},
		Volumes: conf.Volumes, Needs: conf.Needs(), Phase: engine.Start,
	}
	text := strings.NewReplacer("@keys@", keyDir(credentials), "@used@", stack.SQL("SELECT DISTINCT key_hash FROM keystone.credential")).Replace(credentialsScript)
	script := b.Config("credentials.sh", stack.Header+b.JobFunction(job)+text)
	unitText := strings.NewReplacer("@vip@", b.D.VIP().String(), "@script@", script).Replace(credentialsUnitText)
	b.Add(configset.Item{Phase: engine.Configure, Needs: []string{"file:" + script}, Resource: &unit.Resource{
		Name: credentialsUnit, Content: stack.Header + unitText,
	}})
	if b.Host != b.D.First() {
		return
	}
	job.Needs = append(job.Needs, "file:"+script, schema)
	for _, h := range b.D.Spec.Controllers {
		job.Needs = append(job.Needs, stack.OnHost(h, "command:"+keysJob))
	}
	run := func(mode string) string { return transport.Quote("sh", "-eu", script, mode) }
	b.Command(command.Resource{Name: job.Name, Script: run("apply"), Unless: run("check")}, job.Phase, b.JobNeeds(job)...)
}
