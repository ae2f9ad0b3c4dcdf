{{/*
The PriorityClass of a part of the release, empty without one: (dict "context" $ "part" "core"), "servers" or
"placeholders". They belong to no namespace, so their names say the release's.
*/}}
{{- define "gpuspawner.priorityClass" -}}
{{- $classes := .context.Values.priorityClasses }}
{{- with get $classes.existing .part }}
{{- . }}
{{- else }}
{{- if $classes.create }}
{{- printf "%s-%s-%s" (include "gpuspawner.fullname" .context) .context.Release.Namespace .part }}
{{- end }}
{{- end }}
{{- end }}
