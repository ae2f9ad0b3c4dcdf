{{/* What a zone adds to every server's pod: YAML of a PodTemplateSpec, empty in zone open. */}}
{{- define "gpuspawner.podTemplate.zone" -}}
{{- end }}
