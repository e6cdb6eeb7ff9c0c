// Package logbundle packs what a person needs who looks into a cloud from afar:
// journals, configuration, the state of containers and networks, versions, and
// what updraft itself did and saw, with a summary in front that names the probable
// cause.
//
// It guarantees that no secret of the cloud is in the archive, in none of the
// forms that [secret.Redactor] knows: text is filtered on its way, looked through
// again, and withheld in pieces where something is still found. Everything is
// streamed through files of bounded size, so that memory does not grow with the
// cloud. A host that does not answer is named in the summary and keeps nothing
// else out.
package logbundle
