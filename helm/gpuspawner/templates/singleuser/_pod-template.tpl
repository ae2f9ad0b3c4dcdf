{{- define "gpuspawner.podTemplate.serviceAccount" -}}
{{- with include "gpuspawner.singleuser.serviceAccountName" . }}
spec:
  serviceAccountName: {{ . | quote }}
  automountServiceAccountToken: false
{{- end }}
{{- end }}

{{- define "gpuspawner.singleuser.serviceAccountName" -}}
{{- if .Values.singleuser.serviceAccount.create }}
{{- .Values.singleuser.serviceAccount.name | default (printf "%s-singleuser" (include "gpuspawner.fullname" .)) }}
{{- else }}
{{- .Values.singleuser.serviceAccount.name }}
{{- end }}
{{- end }}
