// Package page owns what pages show: a struct for each page, the template
// beside it, and the parts that all templates share.
//
// # How a page is made
//
// Users.go holds the struct Users; its method Template returns "users", and
// users.html defines the template "content". The struct embeds [Base], which
// package web fills (who is signed in, navigation, notices, field errors); the
// rest are the values that the page shows, as plain fields. Labels, help and
// all other words stand in the template.
//
//	{{define "content"}}
//	{{template "head" .}}
//	<form class="card" method="post" data-guard>
//	  {{template "field" field "name" "Name" .Name .Errors | help "As colleagues know them." | required}}
//	  <div class="actions"><button class="btn main">Save</button></div>
//	</form>
//	{{end}}
//
// A page that needs a script of its own defines "scripts" as well:
//
//	{{define "scripts"}}<script type="module" src="{{asset "mailtest.js"}}"></script>{{end}}
//
// # The parts
//
// Templates in parts.html, each with what it is given:
//
//	head      the page: breadcrumbs, title; define "actions" for what stands beside it
//	errors    the sentence about a form that was not taken
//	field     field NAME LABEL VALUE ERRORS | help … | as TYPE AUTOCOMPLETE | required | optional |
//	          focus | mono | limit N | hint PLACEHOLDER | keyboard INPUTMODE; | lines N makes it a
//	          textarea, | among OPTIONS a list
//	password  field …: the password that one has
//	newpw     field …: a new one, with its strength
//	secret    secretField NAME LABEL SETAT ACTION ERRORS | secretHelp …: keep, replace or clear what is
//	          stored, as the fields NAME_action and NAME
//	choice    choice NAME LABEL VALUE ERRORS OPTIONS: a row of radio buttons
//	tag       tag TEXT TONE; tones are "", "good", "warn", "bad"
//	pager     a [Pager]
//	empty     an [Empty]: what to do where there is nothing yet
//	copy      copy ID LABEL TEXT: a text with a button that copies it
//	steps-so-far  a list of [Step]
//
// Functions: when TIME (relative, the exact time on hover), exact TIME, size
// BYTES, count N, icon NAME, asset NAME.
//
// A dangerous act is a link to its own page, which opens a dialog:
//
//	<a class="btn bad" href="?ask=delete" data-dialog="delete">Delete…</a>
//	<dialog id="delete" aria-labelledby="delete-title"{{if eq .Ask "delete"}} open{{end}}>…</dialog>
//
// Scripts attach themselves by data attributes: data-guard on a form asks
// before typed changes are left; data-dialog="ID" opens a dialog, data-close in
// it closes it; data-copy="ID" copies; data-show="ID" shows a password;
// data-search on a filter form searches while one types, taking over what is
// in #results and each element with data-follows.
//
// Every page has an entry in samples_test.go: it is executed with that in a
// test, in every state that matters.
package page
