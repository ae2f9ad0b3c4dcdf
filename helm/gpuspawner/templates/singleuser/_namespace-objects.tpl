{{/* "true" where each user has a namespace (user_namespaces). */}}
{{- define "gpuspawner.ownNamespaces" -}}
{{- if (include "gpuspawner.rbac.facts" . | fromJson).userNamespaces }}true{{ end }}
{{- end }}

{{/*
What the chart puts into the namespace of each user, as a JSON list of manifests: what it makes in the servers'
namespace where all have one. The hub applies them; gpuspawner.user_namespaces.objects comes after.
*/}}
{{- define "gpuspawner.namespaceObjects" -}}
{{- $objects := list }}
{{- if include "gpuspawner.ownNamespaces" . }}
{{- $fullname := include "gpuspawner.fullname" . }}
{{- if .Values.singleuser.networkPolicy.enabled }}
{{- $spec := include "gpuspawner.network.serverPolicy" . | fromYaml }}
{{- $named := dict "name" (printf "%s-singleuser" $fullname) }}
{{- $objects = append $objects (dict "apiVersion" "networking.k8s.io/v1" "kind" "NetworkPolicy" "metadata" $named "spec" $spec) }}
{{- end }}
{{- range $name, $file := .Values.singleuser.extraFiles }}
{{- if and $file (eq true $file.secret) }}
{{- fail (printf "singleuser.extraFiles.%s.secret: found true, and no namespace that gpuspawner.user_namespaces makes has that Secret. Leave secret out where the file is none, or leave user_namespaces out." $name) }}
{{- end }}
{{- end }}
{{- with (include "gpuspawner.files" .Values.singleuser.extraFiles | fromJson).configMap }}
{{- $named := dict "name" (printf "%s-singleuser-files" $fullname) }}
{{- $objects = append $objects (merge (dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" $named) .) }}
{{- end }}
{{- if include "gpuspawner.zone.withoutDownloads" . }}
{{- $named := dict "name" (printf "%s-notebook" $fullname) }}
{{- $data := include "gpuspawner.zone.notebookSettings" . | fromJson }}
{{- $objects = append $objects (dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" $named "data" $data) }}
{{- end }}
{{- end }}
{{- toJson $objects }}
{{- end }}

{{- define "gpuspawner.zone.withoutDownloads" -}}
{{- if and (eq .Values.zone "restricted") (not .Values.restrictedZone.downloads) }}true{{ end }}
{{- end }}

{{/* Settings of notebook servers that take downloads away, as JSON of a ConfigMap's data. */}}
{{- define "gpuspawner.zone.notebookSettings" -}}
{{- $data := dict }}
{{- range $path, $_ := .Files.Glob "files/notebook/*" }}
{{- $_ := set $data (base $path) ($.Files.Get $path) }}
{{- end }}
{{- toJson $data }}
{{- end }}
