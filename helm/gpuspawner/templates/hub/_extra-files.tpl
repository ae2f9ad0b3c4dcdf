{{/*
hub.extraFiles: each is one file, mounted where mountPath says. What is said in the values goes into <fullname>-files, or
<fullname>-secret-files for `secret: true`; `from` names an object that exists.
*/}}
{{- define "gpuspawner.extraFiles" -}}
{{- $files := dict "configMap" dict "secret" dict }}
{{- range $name, $file := .Values.hub.extraFiles }}
{{- if not $file.from }}
{{- $data := hasKey $file "data" | ternary (get $file "data" | default "" | toString | nospace) (get $file "stringData" | default "" | toString | b64enc) }}
{{- $_ := set (get $files (ternary "secret" "configMap" (eq true $file.secret))) $name $data }}
{{- end }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{- define "gpuspawner.extraFileMounts" -}}
{{- range $name, $file := .Values.hub.extraFiles }}
- name: {{ printf "file-%s" ($name | sha256sum | trunc 12) }}
  mountPath: {{ $file.mountPath | quote }}
  subPath: file
  readOnly: true
{{- end }}
{{- end }}

{{- define "gpuspawner.extraFileVolumes" -}}
{{- $fullname := include "gpuspawner.fullname" . }}
{{- range $name, $file := .Values.hub.extraFiles }}
{{- $from := $file.from | default dict }}
- name: {{ printf "file-%s" ($name | sha256sum | trunc 12) }}
  {{- if or $from.secret (and (not $file.from) (eq true $file.secret)) }}
  secret:
    secretName: {{ $from.secret | default (printf "%s-secret-files" $fullname) | quote }}
  {{- else }}
  configMap:
    name: {{ $from.configMap | default (printf "%s-files" $fullname) | quote }}
  {{- end }}
    defaultMode: {{ $file.mode | default 0440 | int64 }}
    items:
      - key: {{ $from.key | default $name | quote }}
        path: file
{{- end }}
{{- end }}
