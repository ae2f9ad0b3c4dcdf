{{/*
JupyterHub's services and roles: those of the chart, which may do just what they are for, and the values' over them.
Their tokens are in the Secret, under service-token.NAME.
*/}}
{{- define "gpuspawner.services" -}}
{{- $services := dict }}
{{- if .Values.monitoring.serviceMonitor.enabled }}
{{- $_ := set $services "prometheus" dict }}
{{- end }}
{{- if .Values.tests.enabled }}
{{- $_ := set $services "helm-test" dict }}
{{- end }}
{{- merge (dict) .Values.hub.services $services | toJson }}
{{- end }}

{{- define "gpuspawner.loadRoles" -}}
{{- $roles := dict }}
{{- if .Values.monitoring.serviceMonitor.enabled }}
{{- $_ := set $roles "prometheus" (dict "services" (list "prometheus") "scopes" (list "read:metrics")) }}
{{- end }}
{{- if .Values.tests.enabled }}
{{- $user := .Values.tests.user }}
{{- if eq $user "helm-test" }}
{{- fail "tests.user: found \"helm-test\", which is the name of the service that makes the user; choose another." }}
{{- end }}
{{- $scopes := list (printf "admin:users!user=%s" $user) (printf "tokens!user=%s" $user) }}
{{- $_ := set $roles "helm-test" (dict "services" (list "helm-test") "scopes" $scopes) }}
{{- end }}
{{- merge (dict) .Values.hub.loadRoles $roles | toJson }}
{{- end }}
