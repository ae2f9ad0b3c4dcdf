{{/* What priority classes and the scheduler add to every server's pod: YAML of a PodTemplateSpec. */}}
{{- define "gpuspawner.podTemplate.scheduling" -}}
{{- $spec := dict }}
{{- with include "gpuspawner.priorityClass" (dict "context" $ "part" "servers") }}
{{- $_ := set $spec "priorityClassName" . }}
{{- end }}
{{- with include "gpuspawner.schedulerName" . }}
{{- $_ := set $spec "schedulerName" . }}
{{- end }}
{{- if $spec }}
{{- dict "spec" $spec | toYaml }}
{{- end }}
{{- end }}

{{/* The scheduler of servers and placeholders, empty for the cluster's own. */}}
{{- define "gpuspawner.schedulerName" -}}
{{- if .Values.scheduler.enabled }}
{{- include "gpuspawner.fullname" . }}-scheduler
{{- end }}
{{- end }}
