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

{{- define "gpuspawner.podTemplate.files" -}}
{{- with .Values.singleuser.extraFiles }}
spec:
  containers:
    - name: notebook
      volumeMounts:
        {{- include "gpuspawner.fileMounts" . | nindent 8 }}
  volumes:
    {{- include "gpuspawner.fileVolumes" (dict "files" . "name" (printf "%s-singleuser" (include "gpuspawner.fullname" $))) | nindent 4 }}
{{- end }}
{{- end }}
