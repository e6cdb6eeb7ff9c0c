package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/status"
)

// stateFiles are what a backup has of updraft's own state of a cloud.
func stateFiles() []string {
	return []string{secret.FileName, "state.json", "journal.jsonl", "provider", "known_hosts", "id_ed25519", "id_ed25519.pub"}
}

// credentialKeys is the secret without which credentials in Keystone's database
// cannot be read.
const credentialKeys = "keystone-credential"

func (a *app) backupCommand() *cobra.Command {
	var output, verify string
	var images bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Keep the databases, keys and state of a cloud in one encrypted file",
		Long: `backup writes one file, encrypted by age to the identity of the state, with

  the databases of all services, as one snapshot (of a cluster, from a member that
  leaves flow control meanwhile, so that nobody waits), OVN's databases, and what
  updraft knows: secrets with Keystone's keys, records, its SSH key, the cloud file.

Nothing stops for it. The file is read again before it gets its name: encryption,
sums, and that each dump has its end. The name is printed on stdout.

With --images the images' data are in it, too, which may be large. NOT in it are
the disks of servers: back them up from where they lie.

KEEP A COPY OF THE IDENTITY (identity.age in the state) in another place: without
it a backup cannot be read.

  updraft backup -o /mnt/backup/cloud.age
  updraft backup --verify /mnt/backup/cloud.age
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if verify != "" {
				m, err := a.verifyBackup(verify)
				if err != nil {
					return err
				}
				return a.showBackup(m, verify)
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			return s.backup(cmd.Context(), output, images)
		},
	}
	cmd.Flags().StringVarP(&output, "out", "o", "", "write to `FILE` (default: CLOUD-TIME.backup.age here)")
	cmd.Flags().BoolVar(&images, "images", false, "with the data of images")
	cmd.Flags().StringVar(&verify, "verify", "", "write none, but see whether `FILE` is whole; needs the identity and no cloud")
	return cmd
}

func (a *app) showBackup(m backup.Manifest, name string) error {
	if a.json {
		return a.printJSON(struct {
			File string `json:"file"`
			backup.Manifest
		}{name, m})
	}
	fmt.Fprintf(a.err, "%s of %s, whole:\n", m.Cloud, m.Created.UTC().Format(time.RFC3339))
	for _, c := range m.Contents {
		fmt.Fprintf(a.err, "  %10d  %s  %s\n", c.Size, c.Name, c.From)
	}
	_, err := fmt.Fprintln(a.out, name)
	return err
}

// verifyBackup reads a backup to its end.
func (a *app) verifyBackup(name string) (backup.Manifest, error) {
	m, err := a.walkBackup(name, backup.Check)
	var locked *lockedError
	if err != nil && !errors.As(err, &locked) {
		err = fmt.Errorf("%s is not a whole backup: %w", name, err)
	}
	return m, err
}

// lockedError means that nothing of a backup could be read.
type lockedError struct {
	name string
	err  error
}

func (e *lockedError) Error() string { return fmt.Sprintf("cannot read %s: %v", e.name, e.err) }
func (e *lockedError) Unwrap() error { return e.err }

// walkBackup hands the contents of a backup to visit.
func (a *app) walkBackup(name string, visit func(string, io.Reader) error) (backup.Manifest, error) {
	f, err := os.Open(name)
	if err != nil {
		return backup.Manifest{}, &lockedError{name, err}
	}
	defer f.Close()
	plain, err := a.secretOptions("").Identity.Unseal(f)
	if err != nil {
		return backup.Manifest{}, &lockedError{name, err}
	}
	return backup.Walk(plain, visit)
}

func (s *session) backup(ctx context.Context, output string, images bool) (err error) {
	if len(s.records) == 0 {
		return fmt.Errorf("nothing of %s is there to be backed up; updraft up makes it", s.cloud.Name)
	}
	unlock, err := s.store.Lock(ctx, holder("updraft backup"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, err := s.status(ctx, statusTimeout)
	if err != nil {
		return err
	}
	if output == "" {
		output = s.cloud.Name + "-" + r.At.UTC().Format("20060102T150405Z") + ".backup.age"
	}
	out, err := renameio.NewPendingFile(output, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	defer func() { _ = out.Cleanup() }()
	if err := s.writeBackup(ctx, out, r, images); err != nil {
		return err
	}
	m, err := s.a.verifyBackup(out.Name())
	if err != nil {
		return err
	}
	if err := out.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	return s.a.showBackup(m, output)
}

// writeBackup writes all of a backup, encrypted.
func (s *session) writeBackup(ctx context.Context, out io.Writer, r *status.Report, images bool) error {
	sealed, err := s.a.secretOptions(s.cloud.Name).Identity.Seal(out, r.At)
	if err != nil {
		return err
	}
	m := backup.Manifest{Cloud: s.cloud.Name, Created: r.At.UTC().Truncate(time.Second), Updraft: s.a.version}
	if s.cloud.OpenStack != nil {
		m.Release = s.cloud.OpenStack.Release
		if m.Keys, err = s.keySums(); err != nil {
			return err
		}
	}
	w := backup.NewWriter(sealed, m)
	for _, st := range s.stores() {
		if st.Large && !images {
			continue
		}
		host, err := hostOf(r, st)
		if err != nil {
			return fmt.Errorf("cannot back up %s: %w", st.Name, err)
		}
		if err := w.Add(st.Name, host, func(w io.Writer) error { return s.asRootInto(ctx, host, st.Save(host), w) }); err != nil {
			return err
		}
	}
	if err := s.addState(w); err != nil {
		return err
	}
	_, err = w.Close()
	return errors.Join(err, sealed.Close())
}

// addState adds updraft's own state and the cloud file.
func (s *session) addState(w *backup.Writer) error {
	for _, name := range stateFiles() {
		file := filepath.Join(s.dir, name)
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			continue // not every cloud has each
		}
		if err := w.Add("state/"+name, "", copyOf(file)); err != nil {
			return err
		}
	}
	for i, name := range s.cloud.Files {
		if err := w.Add(fmt.Sprintf("cloud-file/%d-%s", i+1, filepath.Base(name)), "", copyOf(name)); err != nil {
			return err
		}
	}
	return nil
}

// deployment is as much of the cloud's as the words of its services need.
func (s *session) deployment() *stack.Deployment {
	return &stack.Deployment{Cloud: s.cloud, Spec: s.cloud.OpenStack, Services: openstack.Services(s.cloud.OpenStack)}
}

func (s *session) stores() []backup.Store {
	if s.cloud.OpenStack == nil {
		return nil
	}
	return openstack.Stores(s.deployment())
}

// hostOf is the host that has what is backed up.
func hostOf(r *status.Report, st backup.Store) (string, error) {
	if st.Host != "" {
		return st.Host, nil
	}
	return serving(r, st.Cluster)
}

// serving chooses the last member that serves: clients are sent to the first.
func serving(r *status.Report, cluster string) (string, error) {
	host := ""
	for _, c := range r.Clusters {
		for _, m := range c.Members {
			if c.Name == cluster && c.Quorum && m.Serves {
				host = m.Host
			}
		}
	}
	if host == "" {
		return "", fmt.Errorf("no member of %s serves with a quorum; updraft status says more", cluster)
	}
	return host, nil
}

// keySums are the sums of the primary keys that contents are encrypted by.
func (s *session) keySums() (map[string]string, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	return map[string]string{credentialKeys: sumOf(keys[len(keys)-1])}, nil
}

func (s *session) keys() ([]string, error) {
	store, err := secret.Open(s.a.secretOptions(s.cloud.Name))
	if err != nil {
		return nil, err
	}
	v, err := store.Reveal(credentialKeys)
	return v.Secret, err
}

func sumOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
