{{/* What priority classes and the scheduler add to every server's pod: YAML of a PodTemplateSpec. */}}
{{- define "gpuspawner.podTemplate.scheduling" -}}
{{- end }}
